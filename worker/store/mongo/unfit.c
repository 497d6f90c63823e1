/* Jobs of older releases and of other servers that are too large to be handed out. */
#include "worker/store/mongo/unfit.h"

#include "common/clock.h"
#include "common/log.h"

/* One update of the job that is still in this state. `shrink`: its data but for the queue, and what
 * was kept of earlier runs, go. */
static enum err end_with(struct mongo *m, const bson_t *filter, const bson_t *job,
                         const char *reason, bool shrink)
{
    static const char *const gone[] = {"lease", "claim.open", "attempts", "history"};
    bson_t update = BSON_INITIALIZER, child, data;
    struct mongo_change change = {.filter = filter, .update = &update};
    struct mongo_changed done = {0};
    bson_iter_t queue;

    BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &child);
    BSON_APPEND_UTF8(&child, STATE_PATH, "cancelled");
    BSON_APPEND_UTF8(&child, "result_data." END_REASON, reason);
    if (shrink) {
        BSON_APPEND_DOCUMENT_BEGIN(&child, "job_data", &data);
        if (mongo_field(job, "job_data.job_queue", &queue))
            bson_append_iter(&data, "job_queue", -1, &queue);
        bson_append_document_end(&child, &data);
    }
    bson_append_document_end(&update, &child);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$unset", &child);
    for (size_t i = 0; i < (shrink ? 4u : 2u); i++)
        BSON_APPEND_BOOL(&child, gone[i], true);
    bson_append_document_end(&update, &child);
    if (!shrink)
        mongo_history_push(&update, "cancelled", clock_wall_us() / 1000, reason);
    enum err e = mongo_update(m, JOBS, &change, &done);
    bson_destroy(&update);
    return e || done.matched ? e : ERR_NOT_FOUND;
}

static enum err end_job(struct mongo *m, const bson_t *filter, const bson_t *job,
                        const char *reason)
{
    enum err e = end_with(m, filter, job, reason, false);

    if (e == ERR_TOO_LARGE) {
        log_warn("a job that is too large keeps nothing but its queue: its document has no room "
                 "for the reason of its end");
        e = end_with(m, filter, job, reason, true);
    }
    return e;
}

enum err mongo_job_unfit(struct store *s, const struct job_unfit *u)
{
    bson_t filter = BSON_INITIALIZER, none = BSON_INITIALIZER;

    mongo_append_text(&filter, "job_id", u->job_id);
    BSON_APPEND_UTF8(&filter, STATE_PATH, "running");
    BSON_APPEND_UTF8(&filter, "claim.token", u->token);
    enum err e = end_job(mongo_of(s), &filter, &none, u->reason);
    bson_destroy(&filter);
    bson_destroy(&none);
    return e;
}

/* Removes what was kept of earlier runs of the job. *ret_done false: there was nothing. */
static enum err forget_attempts(struct mongo *m, const bson_t *filter, bool *ret_done)
{
    bson_t update = BSON_INITIALIZER, child;
    struct mongo_change change = {.filter = filter, .update = &update};
    struct mongo_changed done = {0};

    BSON_APPEND_DOCUMENT_BEGIN(&update, "$unset", &child);
    BSON_APPEND_BOOL(&child, "attempts", true);
    bson_append_document_end(&update, &child);
    enum err e = mongo_update(m, JOBS, &change, &done);
    bson_destroy(&update);
    *ret_done = !e && done.modified;
    return e;
}

enum err unfit_make_room(struct mongo *m, const bson_t *waiting)
{
    bson_t filter = BSON_INITIALIZER, projection = BSON_INITIALIZER, reply, job;
    struct mongo_query q = {.collection = JOBS,
                            .filter = waiting,
                            .projection = &projection,
                            .sort = m->fixed.claim_order,
                            .hint = m->fixed.waiting,
                            .limit = 1};
    bson_iter_t batch, it;
    bool forgot = false;

    BSON_APPEND_BOOL(&projection, "job_id", true);
    BSON_APPEND_BOOL(&projection, "job_data.job_queue", true);
    enum err e = mongo_find(m, &q, &reply, &batch);
    bson_destroy(&projection);
    if (e)
        return e;
    e = mongo_next(&batch, &job) ? ERR_OK : ERR_NOT_FOUND;
    if (!e) {
        mongo_append_as_read(&filter, "_id", &job, "_id");
        BSON_APPEND_UTF8(&filter, STATE_PATH, "waiting");
        e = forget_attempts(m, &filter, &forgot);
    }
    if (!e && !forgot) {
        bool has = mongo_field(&job, "job_id", &it) && BSON_ITER_HOLDS_UTF8(&it);
        log_error("job %s is cancelled: " UNFIT_REASON, has ? bson_iter_utf8(&it, NULL) : "(none)");
        e = end_job(m, &filter, &job, UNFIT_REASON);
    }
    bson_destroy(&filter);
    bson_destroy(&reply);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}
