#include "worker/store/mongo/unfit.h"

#include "common/log.h"
#include "worker/store/mongo/agent_jobs.h"
#include "worker/store/mongo/heads.h"
#include "worker/store/mongo/job.h"

/* Cancels the job of the filter (taken). If its document has no room for the reason, drops its data
 * except the queue, and its earlier runs. ERR_NOT_FOUND. */
static enum err end_job(struct mongo *m, bson_t *filter, const bson_t *job, const char *reason)
{
    enum err e = db_set(m, JOBS, bson_copy(filter), job_ended(m, reason));

    if (e == ERR_TOO_LARGE) {
        log_warn("dropped the data of a job that is too large, except its queue: its document has "
                 "no room "
                 "for the reason of its end");
        e = db_set(m, JOBS, bson_copy(filter),
                   doc_of("$set: {" STATE_PATH ": 'cancelled', result_data." END_REASON
                          ": ?, job_data: {job_queue: ?}}, $unset: {lease: true, claim.open: "
                          "true, attempts: true, history: true}",
                          v_str(reason), v_field(job, "job_data.job_queue")));
    }
    bson_destroy(filter);
    return e;
}

enum err mongo_job_unfit(struct store *s, const struct job_unfit *u)
{
    const bson_t none = BSON_INITIALIZER;
    enum err e = end_job(mongo_of(s),
                         doc_of("job_id: ?, " STATE_PATH ": 'running', claim.token: ?",
                                v_text(u->job_id), v_str(u->token)),
                         &none, u->reason);

    if (!e)
        agent_job_end(mongo_of(s), u->job_id);
    return e;
}

/* Matches a job without room for a claim. None if another worker ended it meanwhile, and the job
 * that is first now fits. */
static bson_t *is_unfit(void)
{
    return doc_of("$gt: [{$bsonSize: '$$ROOT'}, ?]", v_int64(STORE_DOCUMENT_MAX - JOB_STATE_ROOM));
}

/* Frees room in a waiting job, or ends it. */
static enum err make_room(struct mongo *m, const bson_t *job)
{
    bson_t *filter = doc_of("_id: ?, " STATE_PATH ": 'waiting', $expr: ?", v_field(job, "_id"),
                            v_own(is_unfit()));
    const char *job_id = doc_str(job, "job_id");
    struct db_done done;
    enum err e = DB_UPDATE(m, JOBS, &done, .filter = bson_copy(filter),
                           .update = doc_of("$unset: {attempts: true}"));

    if (e || done.modified || !done.matched) {
        bson_destroy(filter);
        return e;
    }
    log_error("cancelled job %s: " UNFIT_REASON, job_id ? job_id : "(none)");
    return end_job(m, filter, job, UNFIT_REASON);
}

enum err unfit_make_room(struct mongo *m, const struct claim *c)
{
    struct db_found f;
    enum err e = DB_FIRST(m, &f, .collection = JOBS,
                          .filter = doc_of("?, ?, $expr: ?", v_own(heads_of_state(c, "waiting")),
                                           v_own(heads_fitting(c)), v_own(is_unfit())),
                          .fields = "job_id: true, job_data.job_queue: true", .sort = CLAIM_ORDER,
                          .index = IX_WAITING);

    if (!e) {
        e = make_room(m, &f.doc);
        db_end(&f);
    }
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}
