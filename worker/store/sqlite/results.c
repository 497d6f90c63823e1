/* Results and states of jobs. */
#include "worker/store/sqlite/job.h"

#include "common/mem.h"
#include "worker/jobs/lease.h"
#include "worker/jobs/states.h"
#include "worker/validation/bson_size.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A stored result. */
struct result {
    int64_t id;
    int64_t data_size; /* of the job's data */
    int64_t lease_ms;  /* 0: none */
    int64_t reruns;
    char *owner;    /* owned; NULL: not known */
    char *state;    /* owned */
    json_t *fields; /* owned */
};

static void result_free(struct result *r)
{
    free(r->state);
    free(r->owner);
    json_decref(r->fields);
}

/* Reads a result. ERR_NOT_FOUND. Call result_free() in any case. */
static enum err load(struct sqlite *q, struct text job_id, struct result *ret)
{
    struct query r = query_new(q, SQL_RESULT);

    *ret = (struct result){0};
    query_text(&r, job_id);
    enum err e = query_step(&r);
    if (!e) {
        ret->id = query_col_int(&r, 0);
        ret->state = mem_strdup(query_col_str(&r, 1));
        ret->fields = query_col_text(&r, 2).s ? query_col_json(&r, 2) : json_object();
        ret->data_size = query_col_int(&r, 3);
        ret->lease_ms = query_col_int(&r, 4);
        ret->reruns = query_col_int(&r, 5);
        ret->owner = query_col_given(&r, 6);
        if (!ret->fields)
            e = ERR_INTERNAL;
    }
    query_end(&r);
    return e;
}

enum err sqlite_state_put(struct sqlite *q, int64_t id, const char *state, int64_t lease_ms,
                          const char *reason)
{
    struct query r = query_new(q, SQL_STATE_PUT);

    query_int(&r, id);
    query_str(&r, state);
    query_int_or_null(&r, lease_ms);
    enum err e = query_run(&r);
    return e ? e : sqlite_history_add(q, id, state, reason);
}

enum err sqlite_job_reason_put(struct sqlite *q, int64_t id, const char *reason)
{
    struct query r = query_new(q, SQL_RESULT_REASON);

    query_int(&r, id);
    query_str(&r, reason);
    return query_run(&r);
}

enum err sqlite_job_end(struct sqlite *q, int64_t id, const char *state, const char *reason)
{
    enum err e = sqlite_job_reason_put(q, id, reason);

    return e ? e : sqlite_state_put(q, id, state, 0, reason);
}

/* ---- results ---- */

/* `max`: limit of the job with its result, in bytes of BSON: both stores have the same limit. */
static enum err put_fields(struct sqlite *q, const struct result *old, const json_t *fields,
                           size_t max)
{
    char *text;
    size_t len;

    /* only the object is changed, not its members */
    json_object_update(old->fields, (json_t *)(uintptr_t)fields);
    enum err e = sqlite_json(old->fields, &text, &len);
    if (e)
        return e;
    if (json_object_size(fields) && doc_bson_size(old->fields) + (size_t)old->data_size > max) {
        e = ERR_TOO_LARGE;
    } else {
        struct query r = query_new(q, SQL_RESULT_PUT);
        query_int(&r, old->id);
        query_text(&r, (struct text){text, len});
        e = query_run(&r);
    }
    free(text);
    return e;
}

/* The agent's claim has arrived, and its lease lasts at least to this time. */
static enum err extend(struct sqlite *q, const struct result *old, int64_t lease_ms)
{
    struct query r = query_new(q, SQL_LEASE_PUT);

    query_int(&r, old->id);
    query_int_or_null(&r, lease_ms > old->lease_ms ? lease_ms : old->lease_ms);
    return query_run(&r);
}

/* The state after a put. */
static enum err move(struct sqlite *q, const struct result *old, const struct result_put *p)
{
    if (p->job_state && strcmp(p->job_state, old->state) != 0 &&
        state_may_follow(old->state, p->job_state)) {
        bool over = state_is_over(p->job_state);
        return sqlite_state_put(q, old->id, p->job_state,
                                over          ? 0
                                : p->lease_ms ? p->lease_ms
                                              : old->lease_ms,
                                NULL);
    }
    if (state_is_over(old->state) || strcmp(old->state, "waiting") == 0)
        return ERR_OK;
    return extend(q, old, p->lease_ms);
}

/* Puts into the newest attempt that the agent had, or of which nobody knows whose it was. */
static enum err put_late(struct sqlite *q, const struct result *job, const struct result_put *p)
{
    struct query r = query_new(q, SQL_ATTEMPT_LAST);
    struct result old = {0};
    char *text = NULL;
    size_t len;

    query_int(&r, job->id);
    query_given(&r, p->agent);
    enum err e = query_step(&r);
    if (!e) {
        old.id = query_col_int(&r, 0);
        old.state = mem_strdup(query_col_str(&r, 1));
        old.fields = query_col_text(&r, 2).s ? query_col_json(&r, 2) : json_object();
    }
    query_end(&r);
    if (!e)
        e = json_object_update(old.fields, (json_t *)(uintptr_t)p->fields) ? ERR_INTERNAL : ERR_OK;
    if (!e)
        e = sqlite_json(old.fields, &text, &len);
    if (!e) {
        r = query_new(q, SQL_ATTEMPT_PUT);
        query_int(&r, old.id);
        query_str(&r, p->job_state && state_may_follow(old.state, p->job_state) ? p->job_state
                                                                                : old.state);
        query_text(&r, (struct text){text, len});
        e = query_run(&r);
    }
    free(text);
    result_free(&old);
    return e == ERR_NOT_FOUND ? ERR_OK : e; /* the job has no attempts */
}

static enum err put(struct sqlite *q, const struct result_put *p)
{
    struct result old;
    bool fresh = false;
    enum err e = load(q, p->job_id, &old);
    struct text owner = {old.owner, old.owner ? strlen(old.owner) : 0};

    if (!e)
        e = sqlite_job_request(q, old.id, p->asked.request_id, &fresh);
    if (!e && fresh && lease_lost_by(p->agent, owner, old.reruns)) {
        e = put_late(q, &old, p);
    } else if (!e && fresh) {
        bool forgives = p->job_state && state_is_complete(p->job_state) &&
                        json_object_del(old.fields, END_REASON) == 0;
        if (forgives || json_object_size(p->fields))
            e = put_fields(q, &old, p->fields, p->max ? p->max : STORE_DOCUMENT_MAX);
        if (!e)
            e = move(q, &old, p);
    }
    result_free(&old);
    return e;
}

static enum err put_one(struct sqlite *q, const struct result_put *p)
{
    if (json_object_size(p->fields) == 0 && !p->job_state) {
        struct query r = query_new(q, SQL_STATE);
        query_text(&r, p->job_id);
        return query_probe(&r);
    }
    enum err e = sqlite_write_begin(q);
    return e ? e : sqlite_write_end(q, put(q, p));
}

enum err sqlite_results_put(struct store *s, struct result_put *puts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        puts[i].err = put_one(sqlite_of(s), &puts[i]);
    return ERR_OK;
}

static enum err get_state(struct sqlite *q, struct job_read *read)
{
    struct query r = query_new(q, SQL_STATE);

    query_text(&r, read->job_id);
    enum err e = query_step(&r);
    if (!e) {
        read->value = json_pack("{s:s}", "job_state", query_col_str(&r, 1));
    }
    query_end(&r);
    return e;
}

static enum err get(struct sqlite *q, struct job_read *read)
{
    struct result found;
    enum err e = load(q, read->job_id, &found);

    if (!e) {
        json_t *result = json_object();
        json_object_set_new(result, "job_state", json_string(found.state));
        json_object_update(result, found.fields);
        read->value = result;
    }
    result_free(&found);
    return e;
}

enum err sqlite_results_get(struct store *s, struct job_read *reads, size_t n)
{
    for (size_t i = 0; i < n; i++)
        reads[i].err = reads[i].part == RESULT_STATE ? get_state(sqlite_of(s), &reads[i])
                                                     : get(sqlite_of(s), &reads[i]);
    return ERR_OK;
}
