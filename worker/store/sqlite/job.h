/* Shared by several operations on jobs. */
#ifndef WORKER_STORE_SQLITE_JOB_H
#define WORKER_STORE_SQLITE_JOB_H

#include "worker/store/sqlite/sqlite.h"

/* A column holds the attachments' state; the stored data do not. */
#define ATTACHMENTS_STATUS "attachments_status"

/* A job's data in stored form. */
struct job_text {
    char *data; /* both owned */
    size_t data_len;
    char *exclude;           /* NULL: no agent is excluded */
    const char *attachments; /* points into job->data; NULL: none */
    const struct job_new *job;
};

/* Makes the texts of a job; call sqlite_job_text_free() in any case. ERR_TOO_LARGE,
 * ERR_INTERNAL. */
enum err sqlite_job_text_make(struct job_text *t, const struct job_new *job) MUST_CHECK;
void sqlite_job_text_free(struct job_text *t);

/* Inserts a job that waits, within a write; *ret_id is its number. ERR_CONFLICT: there is one of
 * this id. */
enum err sqlite_job_insert(struct sqlite *q, const struct job_text *t, int64_t *ret_id) MUST_CHECK;

/* Binds the parameters that SQL_JOB_ADD and SQL_JOB_RENEW share. */
void sqlite_job_bind(struct query *r, const struct job_text *t);

enum err sqlite_job_data_put(struct sqlite *q, int64_t id, const struct job_text *t) MUST_CHECK;

/* Stores a job with an id chosen by the client, within a write (see struct job_new). */
enum err sqlite_job_put_given(struct sqlite *q, const struct job_text *t,
                              bool *ret_added) MUST_CHECK;

/* Notes, within a write, that a request changes the job; *ret_new false: it did before. */
enum err sqlite_job_request(struct sqlite *q, int64_t id, const char *request_id,
                            bool *ret_new) MUST_CHECK;

/* Keeps the present job as an attempt, within a write. */
enum err sqlite_job_keep_attempt(struct sqlite *q, int64_t id) MUST_CHECK;

/* Puts the server's reason for the end of a job into its result, within a write. */
enum err sqlite_job_reason_put(struct sqlite *q, int64_t id, const char *reason) MUST_CHECK;

/* The running job whose claim has this token. ERR_NOT_FOUND. */
enum err sqlite_job_of_claim(struct sqlite *q, const char *token, int64_t *ret_id) MUST_CHECK;

/* Adds a change of state to the history, within a write; `reason` may be NULL. */
enum err sqlite_history_add(struct sqlite *q, int64_t id, const char *state,
                            const char *reason) MUST_CHECK;

/* Sets the state of a job and adds it to the history, within a write. `lease_ms`: the end of the
 * lease; 0: none. `reason` may be NULL. */
enum err sqlite_state_put(struct sqlite *q, int64_t id, const char *state, int64_t lease_ms,
                          const char *reason) MUST_CHECK;

/* Ends a job with a reason of the server, put into its result and history, within a write. */
enum err sqlite_job_end(struct sqlite *q, int64_t id, const char *state,
                        const char *reason) MUST_CHECK;

/* job_data of a row: its text in one column, the attachments' state in another. New reference; NULL
 * (logged): unreadable. */
json_t *sqlite_job_data_of(const struct query *r, int data, int attachments) MUST_CHECK;

#endif
