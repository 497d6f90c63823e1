/* The document of a job, and jobs whose id the client chose: such a job may be there already. */
#include "worker/store/mongo/job.h"

#include "common/log.h"
#include "worker/store/mongo/bsonjson.h"
#include "worker/store/mongo/oid.h"

#include <stdio.h>
#include <string.h>

/* How often a job that changes while we look at it is looked at again. */
#define TRIES_MAX 8

/* created_at has the milliseconds of a BSON date. */
static int64_t created_ms(const struct job_new *job)
{
    return job->asked.received_us / 1000;
}

static enum err append_data(bson_t *to, const char *key, const struct job_new *job)
{
    if (bsonjson_append(to, key, strlen(key), job->data))
        return ERR_OK;
    log_error("the data of job %s cannot be stored: it is nested too deep or has a NUL in a key; "
              "such a body should have been refused",
              job->job_id);
    return ERR_INTERNAL;
}

/* What of a claim is there before it is made. */
static void append_order(bson_t *to, const char *key, const struct job_new *job)
{
    bson_t claim;

    BSON_APPEND_DOCUMENT_BEGIN(to, key, &claim);
    BSON_APPEND_INT64(&claim, "order", job->asked.received_us);
    bson_append_document_end(to, &claim);
}

enum err job_document(bson_t *doc, const bson_oid_t *id, const struct job_new *job)
{
    bson_t child;

    BSON_APPEND_OID(doc, "_id", id);
    BSON_APPEND_DATE_TIME(doc, "created_at", created_ms(job));
    BSON_APPEND_DOCUMENT_BEGIN(doc, "result_data", &child);
    BSON_APPEND_UTF8(&child, "job_state", "waiting");
    bson_append_document_end(doc, &child);
    mongo_append_int(doc, "job_priority", job->priority);
    BSON_APPEND_UTF8(doc, "job_id", job->job_id);
    enum err e = append_data(doc, "job_data", job);
    if (job->submitter.s)
        mongo_append_text(doc, "submitter", job->submitter);
    append_order(doc, "claim", job);
    return e ? e : doc->len > STORE_DOCUMENT_MAX ? ERR_TOO_LARGE : ERR_OK;
}

/* ERR_CONFLICT: there is a document of this _id. */
static enum err insert(struct mongo *m, const struct job_new *job, const bson_oid_t *id)
{
    bson_t command = BSON_INITIALIZER, documents, doc = BSON_INITIALIZER;
    enum err e = job_document(&doc, id, job);

    if (!e) {
        BSON_APPEND_UTF8(&command, "insert", JOBS);
        BSON_APPEND_ARRAY_BEGIN(&command, "documents", &documents);
        BSON_APPEND_DOCUMENT(&documents, "0", &doc);
        bson_append_array_end(&command, &documents);
        e = mongo_write_all(m, &command, NULL, NULL);
    }
    bson_destroy(&doc);
    bson_destroy(&command);
    return e;
}

static bool same_data(const bson_t *found, const struct job_new *job)
{
    bson_iter_t it;

    if (!mongo_field(found, "job_data", &it))
        return false;
    /* attachments_status is the server's; what was uploaded meanwhile stays. */
    json_t *old = bsonjson_value(&it), *sent = json_copy(job->data);
    bool status = json_object_get(old, "attachments_status") != NULL &&
                  json_object_get(sent, "attachments_status") != NULL;
    if (status) {
        json_object_del(old, "attachments_status");
        json_object_del(sent, "attachments_status");
    }
    bool same = json_equal(old, sent);
    json_decref(old);
    json_decref(sent);
    return same;
}

static bool state_is(const bson_t *found, const char *state)
{
    bson_iter_t it;

    return mongo_field(found, STATE_PATH, &it) && BSON_ITER_HOLDS_UTF8(&it) &&
           strcmp(bson_iter_utf8(&it, NULL), state) == 0;
}

/* Begins a stage {$set: {...}} of a pipeline; stage_end ends it. */
static void stage_begin(bson_t *pipeline, const char *index, const char *name, bson_t *stage,
                        bson_t *fields)
{
    BSON_APPEND_DOCUMENT_BEGIN(pipeline, index, stage);
    BSON_APPEND_DOCUMENT_BEGIN(stage, name, fields);
}

static void stage_end(bson_t *pipeline, bson_t *stage, bson_t *fields)
{
    bson_append_document_end(stage, fields);
    bson_append_document_end(pipeline, stage);
}

/* The server copies the old outcome, which may be megabytes, itself. */
void job_append_attempts(bson_t *fields, int keep)
{
    static const char *const kept[] = {"created_at", "started_at", "result_data"};
    bson_t attempts, slice, concat, list, old, old_args, now, attempt;
    char path[32];

    if (keep == 0) {
        BSON_APPEND_ARRAY_BEGIN(fields, "attempts", &attempts);
        bson_append_array_end(fields, &attempts);
        return;
    }
    BSON_APPEND_DOCUMENT_BEGIN(fields, "attempts", &attempts);
    BSON_APPEND_ARRAY_BEGIN(&attempts, "$slice", &slice);
    BSON_APPEND_DOCUMENT_BEGIN(&slice, "0", &concat);
    BSON_APPEND_ARRAY_BEGIN(&concat, "$concatArrays", &list);
    BSON_APPEND_DOCUMENT_BEGIN(&list, "0", &old);
    BSON_APPEND_ARRAY_BEGIN(&old, "$ifNull", &old_args);
    BSON_APPEND_UTF8(&old_args, "0", "$attempts");
    BSON_APPEND_ARRAY_BEGIN(&old_args, "1", &now);
    bson_append_array_end(&old_args, &now);
    bson_append_array_end(&old, &old_args);
    bson_append_document_end(&list, &old);
    BSON_APPEND_ARRAY_BEGIN(&list, "1", &now);
    BSON_APPEND_DOCUMENT_BEGIN(&now, "0", &attempt);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        snprintf(path, sizeof path, "$%s", kept[i]);
        BSON_APPEND_UTF8(&attempt, kept[i], path);
    }
    BSON_APPEND_UTF8(&attempt, "owner", "$claim.owner");
    bson_append_document_end(&now, &attempt);
    bson_append_array_end(&list, &now);
    bson_append_array_end(&concat, &list);
    bson_append_document_end(&slice, &concat);
    BSON_APPEND_INT32(&slice, "1", -keep);
    bson_append_array_end(&attempts, &slice);
    bson_append_document_end(fields, &attempts);
}

static void append_submitter(bson_t *fields, const struct job_new *job)
{
    bson_t child;

    if (!job->submitter.s) {
        BSON_APPEND_UTF8(fields, "submitter", "$$REMOVE");
        return;
    }
    BSON_APPEND_DOCUMENT_BEGIN(fields, "submitter", &child);
    mongo_append_text(&child, "$literal", job->submitter);
    bson_append_document_end(fields, &child);
}

/* The update that makes the stored job this one; `keep` < 0 leaves the attempts as they are. */
static enum err renewal(bson_t *pipeline, const struct job_new *job, int keep)
{
    bson_t stage, fields, child, result;

    if (keep >= 0) {
        stage_begin(pipeline, "0", "$set", &stage, &fields);
        job_append_attempts(&fields, keep);
        stage_end(pipeline, &stage, &fields);
    }
    stage_begin(pipeline, keep >= 0 ? "1" : "0", "$set", &stage, &fields);
    BSON_APPEND_DATE_TIME(&fields, "created_at", created_ms(job));
    mongo_append_int(&fields, "job_priority", job->priority);
    BSON_APPEND_DOCUMENT_BEGIN(&fields, "result_data", &child);
    BSON_APPEND_DOCUMENT_BEGIN(&child, "$literal", &result);
    BSON_APPEND_UTF8(&result, "job_state", "waiting");
    bson_append_document_end(&child, &result);
    bson_append_document_end(&fields, &child);
    BSON_APPEND_DOCUMENT_BEGIN(&fields, "job_data", &child);
    enum err e = append_data(&child, "$literal", job);
    bson_append_document_end(&fields, &child);
    BSON_APPEND_DOCUMENT_BEGIN(&fields, "claim", &child);
    append_order(&child, "$literal", job);
    bson_append_document_end(&fields, &child);
    append_submitter(&fields, job);
    stage_end(pipeline, &stage, &fields);
    BSON_APPEND_DOCUMENT_BEGIN(pipeline, keep >= 0 ? "2" : "1", &stage);
    BSON_APPEND_ARRAY_BEGIN(&stage, "$unset", &fields);
    BSON_APPEND_UTF8(&fields, "0", "started_at");
    BSON_APPEND_UTF8(&fields, "1", "lease");
    bson_append_array_end(&stage, &fields);
    bson_append_document_end(pipeline, &stage);
    if (keep > 0)
        job_append_size_check(pipeline, "3", (int64_t)STORE_DOCUMENT_MAX - JOB_STATE_ROOM);
    return e;
}

/* Sets the stored job to this one, provided that it is still as it was read. ERR_CONFLICT: it is
 * not. */
static enum err renew(struct mongo *m, const bson_t *found, const struct job_new *job, int keep)
{
    bson_t filter = BSON_INITIALIZER, pipeline = BSON_INITIALIZER;
    struct mongo_changed done;
    struct mongo_change change = {
        .filter = &filter, .update = &pipeline, .hint = m->fixed.by_id, .pipeline = true};

    mongo_append_as_read(&filter, "_id", found, "_id");
    mongo_append_as_read(&filter, "created_at", found, "created_at");
    mongo_append_as_read(&filter, STATE_PATH, found, STATE_PATH);
    enum err e = renewal(&pipeline, job, keep);
    if (!e)
        e = mongo_update(m, JOBS, &change, &done);
    if (!e && !done.matched)
        e = ERR_CONFLICT;
    bson_destroy(&filter);
    bson_destroy(&pipeline);
    return e;
}

static enum err resubmit(struct mongo *m, const bson_t *found, const struct job_new *job)
{
    if (job->asked.repeat && mongo_date(found, "created_at") >= created_ms(job))
        return ERR_OK; /* stored already, or stored and then replaced */
    if (state_is(found, "waiting"))
        return same_data(found, job) ? ERR_OK : renew(m, found, job, -1);
    enum err e = renew(m, found, job, ATTEMPTS_MAX);
    if (e == ERR_TOO_LARGE) /* old outcomes must not keep a job from running again */
        e = renew(m, found, job, 1);
    return e == ERR_TOO_LARGE ? renew(m, found, job, 0) : e;
}

/* One look: ERR_CONFLICT when something changed between it and the write. */
static enum err put_once(struct mongo *m, const struct job_new *job, const bson_oid_t *id)
{
    bson_t filter = BSON_INITIALIZER, projection = BSON_INITIALIZER, reply, found;
    bson_iter_t batch;
    struct mongo_query q = {.collection = JOBS,
                            .filter = &filter,
                            .projection = &projection,
                            .hint = m->fixed.by_job_id,
                            .limit = 1};

    BSON_APPEND_UTF8(&filter, "job_id", job->job_id);
    BSON_APPEND_BOOL(&projection, "created_at", true);
    BSON_APPEND_BOOL(&projection, STATE_PATH, true);
    BSON_APPEND_BOOL(&projection, "job_data", true);
    enum err e = mongo_find(m, &q, &reply, &batch);
    bson_destroy(&filter);
    bson_destroy(&projection);
    if (e)
        return e;
    e = mongo_next(&batch, &found) ? resubmit(m, &found, job) : insert(m, job, id);
    bson_destroy(&reply);
    return e;
}

enum err job_put_given(struct mongo *m, const struct job_new *job)
{
    enum err e = ERR_CONFLICT;
    bson_oid_t id;

    oid_of_text((struct text){job->job_id, strlen(job->job_id)}, &id);
    for (int i = 0; e == ERR_CONFLICT && i < TRIES_MAX; i++) {
        e = put_once(m, job, &id);
    }
    if (e == ERR_CONFLICT) {
        log_warn("job %s changes all the time, so its resubmission was given up; send it again",
                 job->job_id);
        e = ERR_UNAVAILABLE;
    }
    return e;
}
