/* What surrounds a job: earlier attempts, children, its events for webhooks. */
#include "worker/jobs/outcome.h"
#include "worker/store/sqlite/sqlite.h"

/* The rows of a statement as an array, which it ends. */
static enum err list(struct query *r, json_t *(*make)(const struct query *r), json_t **ret)
{
    json_t *all = json_array();
    enum err e;

    while (!(e = query_step(r)))
        json_array_append_new(all, make(r));
    query_end(r);
    if (e != ERR_NOT_FOUND) {
        json_decref(all);
        return e;
    }
    *ret = all;
    return ERR_OK;
}

static json_t *attempt(const struct query *r)
{
    json_t *codes = query_col_text(r, 4).s ? query_col_json(r, 4) : NULL;
    json_t *one = json_pack("{s:I, s:o, s:o, s:o, s:o}", "created_at",
                            (json_int_t)(query_col_int(r, 0) / 1000), "started_at",
                            query_col_json_int(r, 1), "job_state", query_col_json_text(r, 2),
                            "agent", query_col_json_text(r, 3), "status", outcome_status(codes));

    json_decref(codes);
    return one;
}

enum err sqlite_job_attempts(struct store *s, struct text job_id, json_t **ret)
{
    struct query job = query_new(sqlite_of(s), SQL_JOB_SUBMITTER);

    query_text(&job, job_id);
    enum err e = query_probe(&job);
    if (e)
        return e;
    struct query r = query_new(sqlite_of(s), SQL_ATTEMPTS);
    query_text(&r, job_id);
    return list(&r, attempt, ret);
}

static json_t *id(const struct query *r)
{
    return query_col_json_text(r, 0);
}

enum err sqlite_job_children(struct store *s, struct text job_id, int limit, json_t **ret)
{
    struct query r = query_new(sqlite_of(s), SQL_JOB_CHILDREN);

    query_text(&r, job_id);
    query_int(&r, limit);
    return list(&r, id, ret);
}

static json_t *event(const struct query *r)
{
    return json_pack("{s:o, s:o, s:s, s:I, s:I, s:o, s:I, s:I}", "id", query_col_json_text(r, 0),
                     "receiver", query_col_json_text(r, 1), "state",
                     outbox_state_names[query_col_int(r, 2)], "tries",
                     (json_int_t)query_col_int(r, 3), "status", (json_int_t)query_col_int(r, 4),
                     "reason", query_col_json_text(r, 5), "created_ms",
                     (json_int_t)query_col_int(r, 6), "at_ms", (json_int_t)query_col_int(r, 7));
}

enum err sqlite_outbox_of_job(struct store *s, struct text job_id, int limit, json_t **ret)
{
    char first[OUTBOX_LANE_SIZE], end[OUTBOX_LANE_SIZE];

    if (outbox_lanes_of(job_id, first, end)) {
        *ret = json_array();
        return ERR_OK;
    }
    struct query r = query_new(sqlite_of(s), SQL_EVENTS_OF_JOB);
    query_str(&r, first);
    query_str(&r, end);
    query_int(&r, limit);
    return list(&r, event, ret);
}
