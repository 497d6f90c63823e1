/* Jobs whose id the client chose, which may exist already. */
#include "worker/store/mongo/agent_jobs.h"
#include "worker/store/mongo/job.h"

#include "common/log.h"
#include "worker/store/mongo/oid.h"
#include "worker/store/mongo/once.h"
#include "worker/store/mongo/secrets.h"

#include <string.h>

/* Limit of tries when a job changes between read and write. */
#define TRIES_MAX 8

/* Inserts the job. ERR_CONFLICT: a document has this _id. */
static enum err insert(struct mongo *m, const struct job_new *job)
{
    bson_t *doc = bson_new();
    bson_oid_t id;

    oid_of_text((struct text){job->job_id, strlen(job->job_id)}, &id);
    enum err e = job_document(doc, &id, job);
    if (!e)
        return db_insert(m, JOBS, doc);
    bson_destroy(doc);
    return e;
}

/* The update that replaces the stored job by this one; `keep` < 0 leaves the attempts unchanged. */
static bson_t *renewal(const struct job_new *job, int keep)
{
    return doc_of(
        "[?, {$set: {created_at: ?, job_priority: ?, result_data: {$literal: {job_state: "
        "'waiting'}}, job_data: {$literal: ?}, claim: {$literal: {order: ?}}, submitter: ?, "
        "requests: ?, wait_until: ?}}, "
        "{$unset: ['started_at', 'lease']}, ?]",
        keep >= 0 ? v_own(job_attempts(keep)) : v_none(), v_date(job_created_ms(job)),
        v_int(job->priority), v_json(job->data), v_int64(job->asked.received_us),
        job->submitter.s ? v_own(doc_of("$literal: ?", v_text(job->submitter))) : v_str("$$REMOVE"),
        v_own(once_requests(job->asked.request_id)),
        job->wait_until_ms ? v_date(job->wait_until_ms) : v_str("$$REMOVE"),
        keep > 0 ? v_own(job_size_check(STORE_DOCUMENT_MAX - JOB_STATE_ROOM)) : v_none());
}

/* Updates the stored job if it is still as it was read, else ERR_CONFLICT. */
static enum err change(struct mongo *m, const bson_t *found, bson_t *update)
{
    struct db_done done;
    enum err e = DB_UPDATE(m, JOBS, &done,
                           .filter = doc_of("_id: ?, created_at: ?, " STATE_PATH ": ?",
                                            v_field(found, "_id"), v_field(found, "created_at"),
                                            v_field(found, STATE_PATH)),
                           .update = update, .index = IX_ID);

    return e || done.matched ? e : ERR_CONFLICT;
}

static enum err resubmit(struct mongo *m, const bson_t *found, struct job_new *job)
{
    json_t *data = doc_json(found, "job_data");
    bool known = once_knows(found, job->asked.request_id);
    enum resubmission what =
        resubmission(&(struct resubmitted){.state = doc_str(found, STATE_PATH),
                                           .created = doc_date(found, "created_at"),
                                           .received = job_created_ms(job),
                                           .known = known,
                                           .repeat = job->asked.repeat,
                                           .stored = data,
                                           .sent = job->data});
    struct text job_id = {job->job_id, strlen(job->job_id)};
    enum err e =
        what == RESUBMIT_ATTEMPT && !known ? secrets_drop_claimed(m, job_id, data) : ERR_OK;

    json_decref(data);
    if (e || known)
        return e;
    if (what == RESUBMIT_NOTHING)
        return change(
            m, found,
            doc_of("[{$set: {requests: ?}}]", v_own(once_requests(job->asked.request_id))));
    if (what == RESUBMIT_RENEWS)
        return change(m, found, renewal(job, -1));
    e = ERR_TOO_LARGE;
    for (size_t i = 0; e == ERR_TOO_LARGE && i < ATTEMPTS_TRIES; i++)
        e = change(m, found, renewal(job, attempts_kept[i]));
    job->added = !e;
    if (!e)
        agent_job_end(m, job_id);
    return e;
}

/* One read and write. ERR_CONFLICT: the job changed in between. */
static enum err put_once(struct mongo *m, struct job_new *job)
{
    struct db_found f;
    enum err e =
        DB_FIRST(m, &f, .collection = JOBS, .filter = doc_of("job_id: ?", v_str(job->job_id)),
                 .fields = "created_at: true, job_data: true, requests: true, " STATE_PATH ": true",
                 .index = IX_JOB_ID);

    job->added = false;
    if (e == ERR_NOT_FOUND) {
        e = insert(m, job);
        job->added = !e;
        return e;
    }
    if (!e)
        e = resubmit(m, &f.doc, job);
    db_end(&f);
    return e;
}

enum err job_put_given(struct mongo *m, struct job_new *job)
{
    enum err e = ERR_CONFLICT;

    for (int i = 0; e == ERR_CONFLICT && i < TRIES_MAX; i++)
        e = put_once(m, job);
    if (e == ERR_CONFLICT) {
        log_warn("gave up the resubmission of job %s: it changed at each of %d tries; send it "
                 "again",
                 job->job_id, TRIES_MAX);
        e = ERR_UNAVAILABLE;
    }
    return e;
}
