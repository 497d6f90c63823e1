/* Results and states of jobs. Updates are pipelines: they decide on the job's state within the one
 * command, so that the filter is the _id alone (which needs no planner), and never go on to an
 * older document of the same job id. */
#include "worker/store_mongo/job.h"

#include "common/log.h"
#include "common/mem.h"
#include "worker/states.h"
#include "worker/store_mongo/bsonjson.h"
#include "worker/store_mongo/oid.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Appends STATE_PATH: `next` unless the current state is in the list. */
static void append_state(bson_t *fields, const char *next, const char *const *unless)
{
    bson_t cond, branches, in, args, literal, list;
    char key[MONGO_INDEX_SIZE];

    BSON_APPEND_DOCUMENT_BEGIN(fields, STATE_PATH, &cond);
    BSON_APPEND_ARRAY_BEGIN(&cond, "$cond", &branches);
    BSON_APPEND_DOCUMENT_BEGIN(&branches, "0", &in);
    BSON_APPEND_ARRAY_BEGIN(&in, "$in", &args);
    BSON_APPEND_UTF8(&args, "0", "$" STATE_PATH);
    BSON_APPEND_DOCUMENT_BEGIN(&args, "1", &literal);
    BSON_APPEND_ARRAY_BEGIN(&literal, "$literal", &list);
    for (size_t i = 0; unless[i]; i++)
        BSON_APPEND_UTF8(&list, mongo_index(i, key), unless[i]);
    bson_append_array_end(&literal, &list);
    bson_append_document_end(&args, &literal);
    bson_append_array_end(&in, &args);
    bson_append_document_end(&branches, &in);
    BSON_APPEND_UTF8(&branches, "1", "$" STATE_PATH);
    BSON_APPEND_DOCUMENT_BEGIN(&branches, "2", &literal);
    BSON_APPEND_UTF8(&literal, "$literal", next);
    bson_append_document_end(&branches, &literal);
    bson_append_array_end(&cond, &branches);
    bson_append_document_end(fields, &cond);
}

/* Runs [{$set: fields}] on a job; `forget` removes its old attempts. */
static enum err set(struct mongo *m, struct text job_id, const bson_t *fields, bool forget,
                    struct mongo_changed *ret)
{
    bson_t by_id = BSON_INITIALIZER, by_job_id = BSON_INITIALIZER, pipeline = BSON_INITIALIZER,
           stage;
    struct mongo_change change = {.filter = &by_id, .update = &pipeline, .pipeline = true};
    bson_oid_t id;

    BSON_APPEND_DOCUMENT_BEGIN(&pipeline, "0", &stage);
    BSON_APPEND_DOCUMENT(&stage, "$set", fields);
    bson_append_document_end(&pipeline, &stage);
    if (forget) {
        BSON_APPEND_DOCUMENT_BEGIN(&pipeline, "1", &stage);
        BSON_APPEND_UTF8(&stage, "$unset", "attempts");
        bson_append_document_end(&pipeline, &stage);
    }
    oid_of_text(job_id, &id);
    BSON_APPEND_OID(&by_id, "_id", &id);
    enum err e = mongo_update(m, JOBS, &change, ret);
    if (!e && !ret->matched) { /* a job of another server */
        mongo_append_text(&by_job_id, "job_id", job_id);
        change.filter = &by_job_id;
        change.hint = m->fixed.by_job_id;
        e = mongo_update(m, JOBS, &change, ret);
    }
    bson_destroy(&by_id);
    bson_destroy(&by_job_id);
    bson_destroy(&pipeline);
    return e ? e : ret->matched ? ERR_OK : ERR_NOT_FOUND;
}

enum err mongo_job_cancel(struct store *s, struct text job_id)
{
    bson_t fields = BSON_INITIALIZER;
    struct mongo_changed done;

    append_state(&fields, "cancelled", states_over());
    enum err e = set(mongo_of(s), job_id, &fields, false, &done);
    bson_destroy(&fields);
    if (!e && !done.modified)
        e = ERR_CONFLICT;
    return e;
}

/* Appends result_data.NAME: {$literal: value} of each field. */
static bool append_fields(bson_t *to, const json_t *fields)
{
    bson_t literal;
    const char *name;
    json_t *value;

    json_object_foreach ((json_t *)(uintptr_t)fields, name, value) {
        size_t size = strlen("result_data.") + strlen(name) + 1;
        char *path = mem_alloc(size);
        snprintf(path, size, "result_data.%s", name);
        BSON_APPEND_DOCUMENT_BEGIN(to, path, &literal);
        bool ok = bsonjson_append(&literal, "$literal", strlen("$literal"), value);
        bson_append_document_end(to, &literal);
        free(path);
        if (!ok)
            return false;
    }
    return true;
}

/* ERR_NOT_FOUND when there is no job of this id. */
static enum err exists(struct mongo *m, struct text job_id)
{
    bson_t projection = BSON_INITIALIZER, reply, doc;

    BSON_APPEND_BOOL(&projection, "_id", true);
    enum err e = job_find(m, job_id, &projection, &reply, &doc);
    bson_destroy(&projection);
    if (!e)
        bson_destroy(&reply);
    return e;
}

enum err mongo_result_put(struct store *s, struct text job_id, const struct result_put *put)
{
    bson_t fields = BSON_INITIALIZER;
    const char *unless[STATES_MAX + 1];
    struct mongo_changed done;
    enum err e;

    if (json_object_size(put->fields) == 0 && !put->job_state)
        return exists(mongo_of(s), job_id);
    if (put->job_state) {
        states_not_replaced_by(put->job_state, unless);
        append_state(&fields, put->job_state, unless);
    }
    if (append_fields(&fields, put->fields)) {
        e = set(mongo_of(s), job_id, &fields, false, &done);
        if (e == ERR_TOO_LARGE) /* the present outcome matters more than earlier ones */
            e = set(mongo_of(s), job_id, &fields, true, &done);
    } else {
        log_error("a result cannot be stored: it is nested too deep or has a NUL in a key; such a "
                  "body should have been refused");
        e = ERR_INTERNAL;
    }
    bson_destroy(&fields);
    return e;
}
