/* The document of a job. Its _id is derived from its job_id; documents of other servers have any.
 */
#ifndef WORKER_STORE_MONGO_JOB_H
#define WORKER_STORE_MONGO_JOB_H

#include "worker/jobs/resubmission.h"
#include "worker/store/mongo/db.h"

/* Numbers of attempts that an update tries to keep, one after the other: old outcomes must not stop
 * a job from running again. */
enum { ATTEMPTS_TRIES = 3 };
extern const int attempts_kept[ATTEMPTS_TRIES];

/* Stages of a pipeline: append the present job to the attempts and keep the newest `keep`. The
 * update fails with ERR_TOO_LARGE if the document then has more than `max` bytes. */
bson_t *job_attempts(int keep);
bson_t *job_size_check(int64_t max);

/* The expression of the time, but no earlier than what was added to the job before: two processes
 * may know the server's clock some milliseconds apart. */
bson_t *job_time(struct mongo *m);

/* The expression of the history plus one entry; `reason` may be NULL. */
bson_t *job_history_more(struct mongo *m, const char *state, const char *reason);

/* The same as $push, at this time. */
bson_t *job_history_push(const char *state, int64_t at_ms, const char *reason);

/* The update that cancels a job with a reason of the server. */
bson_t *job_ended(struct mongo *m, const char *reason);

/* Bytes of its 16 MiB that a job's document must leave free, so that its state can always change.
 */
#define JOB_STATE_ROOM (64 * 1024)

/* created_at of a job: a BSON date, in milliseconds. */
int64_t job_created_ms(const struct job_new *job);

/* Makes the document of a waiting job. ERR_TOO_LARGE; ERR_INTERNAL (logged): its data cannot be
 * BSON. The caller initialises `doc` and destroys it in any case. */
enum err job_document(bson_t *doc, const bson_oid_t *id, const struct job_new *job) MUST_CHECK;

/* Stores a job with an id chosen by the client: a new one, or another attempt (see struct job_new).
 */
enum err job_put_given(struct mongo *m, struct job_new *job) MUST_CHECK;

/* Finds a job: our document of this id, else the newest of other servers. ERR_NOT_FOUND. `fields`:
 * the projection. db_end() frees. */
enum err job_find(struct mongo *m, struct text job_id, const char *fields,
                  struct db_found *ret) MUST_CHECK;

/* Jobs of other servers, which have any _id: look for these by their job_id. A bounded memory of
 * this process, in which a job may be missing: it is looked for by our _id first. */
void job_foreign_note(struct mongo *m, struct text job_id);
bool job_is_foreign(struct mongo *m, struct text job_id);

/* When the job came to the state reserve, by its history; 0: unknown. */
int64_t job_reserved_since_ms(const bson_t *job);
#define RESERVE_PATH "job_data.reserve_data.timeout"

/* Several jobs, and the callback for their documents, which is called before the function returns.
 */
struct job_finder {
    const void *items; /* structs of `size` bytes that begin with the struct text of a job's id */
    size_t size;
    const char *fields; /* projection, with _id */
    void (*take)(void *arg, size_t i, const bson_t *doc);
    void *arg;
};

/* Finds n jobs, if possible in one trip; no callback for missing ones. */
enum err job_find_all(struct mongo *m, const struct job_finder *f, size_t n) MUST_CHECK;

/* Reads an object of each job; `fields`: the projection. Each read has its own error. */
enum err job_read_all(struct mongo *m, const char *field, const char *fields,
                      struct job_read *reads, size_t n) MUST_CHECK;

#endif
