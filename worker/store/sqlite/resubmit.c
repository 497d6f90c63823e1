/* Jobs whose id the client chose, which may exist already. */
#include "worker/store/sqlite/job.h"

#include "worker/jobs/resubmission.h"

/* Looks at the job that has this id, and notes the request: *ret_id, and what becomes of the job.
 * ERR_NOT_FOUND. */
static enum err look(struct sqlite *q, const struct job_new *job, int64_t *ret_id,
                     enum resubmission *ret)
{
    struct query r = query_new(q, SQL_JOB_FOUND);
    bool fresh = false;

    query_str(&r, job->job_id);
    enum err e = query_step(&r);
    if (!e) {
        *ret_id = query_col_int(&r, 0);
        e = sqlite_job_request(q, *ret_id, job->asked.request_id, &fresh);
    }
    if (!e) {
        json_t *data = sqlite_job_data_of(&r, 4, 3);
        *ret = resubmission(&(struct resubmitted){.state = query_col_str(&r, 2),
                                                  .created = query_col_int(&r, 1),
                                                  .received = job->asked.received_us,
                                                  .known = !fresh,
                                                  .repeat = job->asked.repeat,
                                                  .stored = data,
                                                  .sent = job->data});
        json_decref(data);
    }
    query_end(&r);
    return e;
}

/* Runs a statement on the job's number and, if given, a further number. */
static enum err run(struct sqlite *q, enum sql which, int64_t id, int64_t more)
{
    struct query r = query_new(q, which);

    query_int(&r, id);
    if (more)
        query_int(&r, more);
    return query_run(&r);
}

enum err sqlite_job_keep_attempt(struct sqlite *q, int64_t id)
{
    enum err e = run(q, SQL_ATTEMPT_ADD, id, 0);

    return e ? e : run(q, SQL_ATTEMPTS_CUT, id, ATTEMPTS_MAX);
}

/* Replaces the stored job by this one. */
static enum err renew(struct sqlite *q, int64_t id, const struct job_text *t)
{
    struct query r = query_new(q, SQL_JOB_RENEW);

    sqlite_job_bind(&r, t);
    enum err e = query_run(&r);
    if (!e)
        e = run(q, SQL_TAGS_DROP, id, 0);
    if (!e)
        e = sqlite_job_data_put(q, id, t);
    return e ? e : run(q, SQL_RESULT_DROP, id, 0);
}

enum err sqlite_job_put_given(struct sqlite *q, const struct job_text *t, bool *ret_added)
{
    enum resubmission what;
    bool fresh;
    int64_t id;
    enum err e = look(q, t->job, &id, &what);

    *ret_added = e == ERR_NOT_FOUND || (!e && what == RESUBMIT_ATTEMPT);
    if (e == ERR_NOT_FOUND) {
        e = sqlite_job_insert(q, t, &id);
        return e ? e : sqlite_job_request(q, id, t->job->asked.request_id, &fresh);
    }
    if (e || what == RESUBMIT_NOTHING)
        return e;
    if (what == RESUBMIT_ATTEMPT)
        e = sqlite_job_keep_attempt(q, id);
    if (!e && what == RESUBMIT_ATTEMPT) { /* the new one does not get them again */
        struct query r = query_new(q, SQL_SECRETS_DROP_CLAIMED);
        query_str(&r, t->job->job_id);
        e = query_run(&r);
    }
    return e ? e : renew(q, id, t);
}
