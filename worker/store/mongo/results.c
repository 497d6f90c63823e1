/* Results and states of jobs. Updates are pipelines: they decide on the job's state within the one
 * command, so that the filter is the _id alone (which needs no planner), and never go on to an
 * older document of the same job id. */
#include "worker/store/mongo/job.h"

#include "common/log.h"
#include "common/mem.h"
#include "worker/jobs/states.h"
#include "worker/store/mongo/bsonjson.h"
#include "worker/store/mongo/oid.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is set in a job. */
struct setting {
    bson_t fields; /* by path */
    bson_t odd;    /* of result_data, by names that are no paths; empty: none */
    bool settles;  /* the agent reports: its claim has arrived */
    int64_t max;   /* bytes that the document may have then; 0: as many as it can */
};

static void setting_init(struct setting *s)
{
    bson_init(&s->fields);
    bson_init(&s->odd);
    s->settles = false;
    s->max = 0;
}

static void setting_done(struct setting *s)
{
    bson_destroy(&s->fields);
    bson_destroy(&s->odd);
}

/* Appends result_data: {$mergeObjects: ["$result_data", {$literal: odd}]}. */
static void append_odd(bson_t *to, const bson_t *odd)
{
    bson_t merge, both, literal;

    BSON_APPEND_DOCUMENT_BEGIN(to, "result_data", &merge);
    BSON_APPEND_ARRAY_BEGIN(&merge, "$mergeObjects", &both);
    BSON_APPEND_UTF8(&both, "0", "$result_data");
    BSON_APPEND_DOCUMENT_BEGIN(&both, "1", &literal);
    BSON_APPEND_DOCUMENT(&literal, "$literal", odd);
    bson_append_document_end(&both, &literal);
    bson_append_array_end(&merge, &both);
    bson_append_document_end(to, &merge);
}

/* Appends {NAME: document} to the stages. */
static void append_stage(bson_t *pipeline, size_t *n, const char *name, const bson_t *document)
{
    char key[MONGO_INDEX_SIZE];
    bson_t stage;

    BSON_APPEND_DOCUMENT_BEGIN(pipeline, mongo_index(*n, key), &stage);
    BSON_APPEND_DOCUMENT(&stage, name, document);
    bson_append_document_end(pipeline, &stage);
    ++*n;
}

/* The stages that set it; `forget` removes the job's old attempts. */
static void append_stages(bson_t *pipeline, const struct setting *s, bool forget)
{
    char key[MONGO_INDEX_SIZE];
    bson_t merge = BSON_INITIALIZER, stage;
    size_t n = 0;

    if (!bson_empty(&s->fields))
        append_stage(pipeline, &n, "$set", &s->fields);
    if (!bson_empty(&s->odd)) {
        append_odd(&merge, &s->odd);
        append_stage(pipeline, &n, "$set", &merge);
    }
    if (s->settles) {
        BSON_APPEND_DOCUMENT_BEGIN(pipeline, mongo_index(n, key), &stage);
        n++;
        BSON_APPEND_UTF8(&stage, "$unset", "claim.open");
        bson_append_document_end(pipeline, &stage);
    }
    if (forget) {
        BSON_APPEND_DOCUMENT_BEGIN(pipeline, mongo_index(n, key), &stage);
        BSON_APPEND_UTF8(&stage, "$unset", "attempts");
        bson_append_document_end(pipeline, &stage);
        n++;
    }
    if (s->max)
        job_append_size_check(pipeline, mongo_index(n, key), s->max);
    bson_destroy(&merge);
}

/* Leaves out a job that was taken from this agent as lost and that another one has. */
static void append_agent(bson_t *filter, struct text agent)
{
    bson_t any, child;

    if (!agent.s)
        return;
    BSON_APPEND_ARRAY_BEGIN(filter, "$or", &any);
    BSON_APPEND_DOCUMENT_BEGIN(&any, "0", &child);
    BSON_APPEND_NULL(&child, "claim.reruns");
    bson_append_document_end(&any, &child);
    BSON_APPEND_DOCUMENT_BEGIN(&any, "1", &child);
    BSON_APPEND_NULL(&child, "claim.owner");
    bson_append_document_end(&any, &child);
    BSON_APPEND_DOCUMENT_BEGIN(&any, "2", &child);
    mongo_append_text(&child, "claim.owner", agent);
    bson_append_document_end(&any, &child);
    bson_append_array_end(filter, &any);
}

/* Sets it in a job. `agent`: see struct result_put. */
static enum err set(struct mongo *m, struct text job_id, struct text agent, const struct setting *s,
                    bool forget, struct mongo_changed *ret)
{
    bson_t by_id = BSON_INITIALIZER, by_job_id = BSON_INITIALIZER, pipeline = BSON_INITIALIZER;
    struct mongo_change change = {.filter = &by_id, .update = &pipeline, .pipeline = true};
    bson_oid_t id;

    append_stages(&pipeline, s, forget);
    oid_of_text(job_id, &id);
    BSON_APPEND_OID(&by_id, "_id", &id);
    append_agent(&by_id, agent);
    enum err e = mongo_update(m, JOBS, &change, ret);
    if (!e && !ret->matched) { /* a job of another server */
        mongo_append_text(&by_job_id, "job_id", job_id);
        append_agent(&by_job_id, agent);
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
    struct mongo_changed done;
    struct setting setting;

    setting_init(&setting);
    job_append_state(&setting.fields, "cancelled", states_over());
    job_append_history(&setting.fields, "cancelled", states_over());
    job_append_lease(&setting.fields, "cancelled", states_over(), 0);
    enum err e = set(mongo_of(s), job_id, (struct text){0}, &setting, false, &done);
    if (e == ERR_TOO_LARGE)
        e = set(mongo_of(s), job_id, (struct text){0}, &setting, true, &done);
    setting_done(&setting);
    if (!e && !done.modified)
        e = ERR_CONFLICT;
    return e;
}

/* Appends result_data.NAME: {$literal: value}. */
static bool append_literal(bson_t *to, const char *name, const json_t *value)
{
    size_t size = strlen("result_data.") + strlen(name) + 1;
    char *path = mem_alloc(size);
    bson_t literal;

    snprintf(path, size, "result_data.%s", name);
    BSON_APPEND_DOCUMENT_BEGIN(to, path, &literal);
    bool ok = bsonjson_append(&literal, "$literal", strlen("$literal"), value);
    bson_append_document_end(to, &literal);
    free(path);
    return ok;
}

static bool append_fields(struct setting *s, const json_t *fields)
{
    const char *name;
    json_t *value;
    bool ok = true;

    json_object_foreach ((json_t *)(uintptr_t)fields, name, value) {
        if (*name && *name != '$' && !strchr(name, '.'))
            ok = ok && append_literal(&s->fields, name, value);
        else
            ok = ok && bsonjson_append(&s->odd, name, strlen(name), value);
    }
    return ok;
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

/* What a put sets. ERR_INTERNAL (logged): it cannot be BSON. */
static enum err setting_of(const struct result_put *put, struct setting *ret)
{
    const char *unless[STATES_MAX + 1];

    if (put->job_state) {
        states_not_replaced_by(put->job_state, unless);
        job_append_state(&ret->fields, put->job_state, unless);
        job_append_history(&ret->fields, put->job_state, unless);
        job_append_lease(&ret->fields, put->job_state, unless, put->lease_ms);
        if (state_is_over(put->job_state) && strcmp(put->job_state, "cancelled") != 0 &&
            !json_object_get(put->fields, END_REASON))
            BSON_APPEND_UTF8(&ret->fields, "result_data." END_REASON, "$$REMOVE");
    } else if (put->lease_ms) {
        job_append_longer_lease(&ret->fields, put->lease_ms);
    }
    ret->settles = true;
    if (json_object_size(put->fields))
        ret->max = (int64_t)put->max;
    if (append_fields(ret, put->fields))
        return ERR_OK;
    log_error("a result cannot be stored: it is nested too deep or has a NUL in a key; such a body "
              "should have been refused");
    return ERR_INTERNAL;
}

/* Appends what is set in attempt number `at`; returns how much that is. */
static size_t append_late(bson_t *set, const struct result_put *put, size_t at)
{
    const char *name;
    json_t *value;
    size_t n = 0;

    json_object_foreach ((json_t *)(uintptr_t)put->fields, name, value) {
        size_t size = strlen(name) + 64;
        char *path = mem_alloc(size);
        snprintf(path, size, "attempts.%zu.result_data.%s", at, name);
        if (*name && *name != '$' && !strchr(name, '.'))
            n += bsonjson_append(set, path, strlen(path), value);
        free(path);
    }
    if (put->job_state) {
        char path[64];
        snprintf(path, sizeof path, "attempts.%zu.result_data.job_state", at);
        n += bson_append_utf8(set, path, -1, put->job_state, -1);
    }
    return n;
}

/* Appends to a filter that the document has at most so many bytes. */
static void append_size_limit(bson_t *filter, int64_t max)
{
    bson_t *limit = BCON_NEW("$lte", "[", "{", "$bsonSize", "$$ROOT", "}", BCON_INT64(max), "]");

    BSON_APPEND_DOCUMENT(filter, "$expr", limit);
    bson_destroy(limit);
}

/* Puts into the newest attempt what comes from the agent that had the job then. ERR_NOT_FOUND:
 * there is no job of this id. Names that are no paths are left out. */
static enum err put_late(struct mongo *m, const struct result_put *put)
{
    bson_t projection = BSON_INITIALIZER, filter = BSON_INITIALIZER, update = BSON_INITIALIZER;
    bson_t reply, job, set;
    bson_iter_t it, list;
    struct mongo_change change = {.filter = &filter, .update = &update, .hint = m->fixed.by_id};
    struct mongo_changed done = {0};
    size_t n = 0, used = 0;

    BSON_APPEND_BOOL(&projection, "attempts.created_at", true);
    enum err e = job_find(m, put->job_id, &projection, &reply, &job);
    bson_destroy(&projection);
    if (e)
        return e;
    if (mongo_field(&job, "attempts", &it) && BSON_ITER_HOLDS_ARRAY(&it) &&
        bson_iter_recurse(&it, &list))
        while (bson_iter_next(&list))
            n++;
    mongo_append_as_read(&filter, "_id", &job, "_id");
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set);
    if (n)
        used = append_late(&set, put, n - 1);
    bson_append_document_end(&update, &set);
    if (put->max)
        append_size_limit(&filter, (int64_t)put->max - (int64_t)update.len);
    if (used)
        e = mongo_update(m, JOBS, &change, &done);
    if (!e && used && !done.matched)
        e = ERR_TOO_LARGE;
    bson_destroy(&filter);
    bson_destroy(&update);
    bson_destroy(&reply);
    return e;
}

static bool is_empty(const struct result_put *put)
{
    return json_object_size(put->fields) == 0 && !put->job_state;
}

static enum err put_one(struct mongo *m, const struct result_put *put)
{
    struct mongo_changed done;
    struct setting setting;

    if (is_empty(put))
        return exists(m, put->job_id);
    setting_init(&setting);
    enum err e = setting_of(put, &setting);
    if (!e)
        e = set(m, put->job_id, put->agent, &setting, false, &done);
    if (e == ERR_TOO_LARGE) /* the present outcome matters more than earlier ones */
        e = set(m, put->job_id, put->agent, &setting, true, &done);
    setting_done(&setting);
    return e == ERR_NOT_FOUND && put->agent.s ? put_late(m, put) : e;
}

/* Appends the statement of a put to an array of statements, if it needs no care. */
static bool append_put(bson_t *updates, size_t index, const struct result_put *put)
{
    bson_t by_id = BSON_INITIALIZER, pipeline = BSON_INITIALIZER;
    struct mongo_change change = {.filter = &by_id, .update = &pipeline, .pipeline = true};
    struct setting setting;
    bson_oid_t id;

    setting_init(&setting);
    bool ok = !is_empty(put) && setting_of(put, &setting) == ERR_OK;
    if (ok) {
        append_stages(&pipeline, &setting, false);
        oid_of_text(put->job_id, &id);
        BSON_APPEND_OID(&by_id, "_id", &id);
        append_agent(&by_id, put->agent);
        mongo_change_append(updates, index, &change);
    }
    setting_done(&setting);
    bson_destroy(&by_id);
    bson_destroy(&pipeline);
    return ok;
}

/* Puts all in one trip. *ret_all false: that did not do for each of them, and they are to be put
 * one by one, which changes nothing more where it did. */
static enum err put_all(struct mongo *m, struct result_put *puts, size_t n, bool *ret_all)
{
    bson_t updates = BSON_INITIALIZER;
    struct mongo_changed done;
    size_t in = 0;
    bool plain = true;
    enum err e = ERR_OK;

    for (size_t i = 0; plain && i < n; i++)
        plain = append_put(&updates, i, &puts[i]);
    if (plain)
        e = mongo_update_many(m, JOBS, &updates, n, &done, &in);
    *ret_all = !e && plain && in == n && (size_t)done.matched == n;
    bson_destroy(&updates);
    return e == ERR_TOO_LARGE ? ERR_OK : e; /* of the command: it is split then */
}

enum err mongo_results_put(struct store *s, struct result_put *puts, size_t n)
{
    bool all = false;
    enum err e = n > 1 ? put_all(mongo_of(s), puts, n, &all) : ERR_OK;

    for (size_t i = 0; i < n; i++)
        puts[i].err = e || all ? e : put_one(mongo_of(s), &puts[i]);
    return ERR_OK;
}
