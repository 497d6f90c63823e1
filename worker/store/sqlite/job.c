/* A stored job: its texts, its row. */
#include "worker/store/sqlite/job.h"

#include "worker/encoding/json_string.h"
#include "worker/validation/bson_size.h"
#include "worker/validation/job_id.h"

#include <stdlib.h>

enum err sqlite_job_text_make(struct job_text *t, const struct job_new *job)
{
    const json_t *exclude = json_object_get(job->data, "exclude_agents");
    const json_t *attachments = json_object_get(job->data, ATTACHMENTS_STATUS);
    json_t *data = job->data, *copy = NULL;
    size_t len;

    *t = (struct job_text){.job = job};
    if (json_is_string(attachments)) {
        t->attachments = json_string_value(attachments);
        data = copy = json_copy(job->data);
        json_object_del(copy, ATTACHMENTS_STATUS);
    }
    enum err e = sqlite_json(data, &t->data, &t->data_len);
    json_decref(copy);
    if (!e && json_array_size(exclude))
        e = sqlite_json(exclude, &t->exclude, &len);
    return e;
}

void sqlite_job_text_free(struct job_text *t)
{
    free(t->data);
    free(t->exclude);
}

void sqlite_job_bind(struct query *r, const struct job_text *t)
{
    const json_t *queue = json_object_get(t->job->data, "job_queue");
    struct text parent = json_string_text(json_object_get(t->job->data, "parent_job_id"));

    query_str(r, t->job->job_id);
    query_text(r, json_string_text(queue));
    query_int(r, t->job->priority);
    query_int(r, t->job->asked.received_us);
    query_str(r, t->attachments);
    query_str(r, t->exclude);
    query_int(r, (int64_t)doc_bson_size(t->job->data));
    query_given(r, t->job->submitter);
    query_int_or_null(r, t->job->wait_until_ms);
    query_given(r, parent.len <= JOB_ID_MAX ? parent : (struct text){NULL, 0});
}

/* Lists the job under its tags. */
static enum err put_tags(struct sqlite *q, int64_t id, const struct job_new *job)
{
    const json_t *tags = json_object_get(job->data, "tags");
    enum err e = ERR_OK;
    json_t *tag;
    size_t i;

    json_array_foreach (tags, i, tag) {
        struct query r;
        if (e)
            break;
        r = query_new(q, SQL_TAG_ADD);
        query_text(&r, json_string_text(tag));
        query_int(&r, job->asked.received_us);
        query_int(&r, id);
        e = query_run(&r);
    }
    return e;
}

enum err sqlite_job_data_put(struct sqlite *q, int64_t id, const struct job_text *t)
{
    struct query r = query_new(q, SQL_JOB_DATA_PUT);

    query_int(&r, id);
    query_text(&r, (struct text){t->data, t->data_len});
    enum err e = query_run(&r);
    return e ? e : put_tags(q, id, t->job);
}

enum err sqlite_job_insert(struct sqlite *q, const struct job_text *t, int64_t *ret_id)
{
    struct query r = query_new(q, SQL_JOB_ADD);

    sqlite_job_bind(&r, t);
    enum err e = query_run(&r);
    if (e)
        return e;
    if (query_changes(&r) == 0)
        return ERR_CONFLICT;
    *ret_id = sqlite3_last_insert_rowid(q->db);
    return sqlite_job_data_put(q, *ret_id, t);
}

json_t *sqlite_job_data_of(const struct query *r, int data, int attachments)
{
    json_t *value = query_col_json(r, data);
    struct text status = query_col_text(r, attachments);

    if (value && status.s)
        json_object_set_new(value, ATTACHMENTS_STATUS, json_stringn(status.s, status.len));
    return value;
}

enum err sqlite_job_of_claim(struct sqlite *q, const char *token, int64_t *ret_id)
{
    struct query r = query_new(q, SQL_CLAIM_TOKEN);

    query_str(&r, token);
    enum err e = query_step(&r);
    if (!e)
        *ret_id = query_col_int(&r, 0);
    query_end(&r);
    return e;
}

enum err sqlite_job_request(struct sqlite *q, int64_t id, const char *request_id, bool *ret_new)
{
    struct query r = query_new(q, SQL_JOB_REQUEST);

    query_int(&r, id);
    query_str(&r, request_id);
    enum err e = query_run(&r);
    *ret_new = query_changes(&r) > 0;
    return e;
}

enum err sqlite_history_add(struct sqlite *q, int64_t id, const char *state, const char *reason)
{
    struct query r = query_new(q, SQL_HISTORY_ADD);

    query_int(&r, id);
    query_str(&r, state);
    query_int(&r, sqlite_now_ms(q));
    query_str(&r, reason);
    enum err e = query_run(&r);
    if (e)
        return e;
    r = query_new(q, SQL_HISTORY_CUT);
    query_int(&r, id);
    query_int(&r, HISTORY_MAX);
    return query_run(&r);
}
