/* The document of a job. Its _id is made of its job_id; a document of another server has any. */
#ifndef WORKER_STORE_MONGO_JOB_H
#define WORKER_STORE_MONGO_JOB_H

#include "worker/jobs/resubmission.h"
#include "worker/store/mongo/db.h"

/* How many attempts an update tries to keep, one after the other: old outcomes must not keep a job
 * from running again. */
enum { ATTEMPTS_TRIES = 3 };
extern const int attempts_kept[ATTEMPTS_TRIES];

/* Stages of a pipeline: attempts get what the job is now and keep the newest `keep` of all; the
 * update fails with ERR_TOO_LARGE where the document has more than `max` bytes by then. */
bson_t *job_attempts(int keep);
bson_t *job_size_check(int64_t max);

/* The expression of the history with one more entry; `reason` may be NULL. */
bson_t *job_history_more(const char *state, const char *reason);

/* The $push of the same, at this time. */
bson_t *job_history_push(const char *state, int64_t at_ms, const char *reason);

/* The update that cancels a job for a reason of the server. */
bson_t *job_ended(const char *reason);

/* What a job's document must leave of its 16 MiB, so that its state can always be changed. */
#define JOB_STATE_ROOM (64 * 1024)

/* created_at of a job: milliseconds, as a BSON date has. */
int64_t job_created_ms(const struct job_new *job);

/* Makes the document of a job that waits. ERR_TOO_LARGE; ERR_INTERNAL (logged) when its data cannot
 * be BSON. `doc` is initialised by the caller, who destroys it in any case. */
enum err job_document(bson_t *doc, const bson_oid_t *id, const struct job_new *job) MUST_CHECK;

/* Stores a job whose id the client chose: a new one, or another attempt (see struct job_new). */
enum err job_put_given(struct mongo *m, const struct job_new *job) MUST_CHECK;

/* Finds a job: our document of this id, else the newest of other servers. ERR_NOT_FOUND. `fields`:
 * the projection. db_end() frees. */
enum err job_find(struct mongo *m, struct text job_id, const char *fields,
                  struct db_found *ret) MUST_CHECK;

/* Several jobs and what takes their documents, each within the call. */
struct job_finder {
    const void *items; /* structs of `size` bytes that begin with the struct text of a job's id */
    size_t size;
    const char *fields; /* projection, with _id */
    void (*take)(void *arg, size_t i, const bson_t *doc);
    void *arg;
};

/* Finds n jobs, if possible in one trip; nothing is taken of those that are not there. */
enum err job_find_all(struct mongo *m, const struct job_finder *f, size_t n) MUST_CHECK;

/* Reads an object of each job; `fields` is the projection. Each read has its own error. */
enum err job_read_all(struct mongo *m, const char *field, const char *fields,
                      struct job_read *reads, size_t n) MUST_CHECK;

#endif
