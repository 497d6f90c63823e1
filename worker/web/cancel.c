/* Cancels a job, once the visitor has said so on a page of its own. */
#include "worker/web/cancel.h"

#include "common/op.h"
#include "worker/encoding/json_string.h"
#include "worker/jobs/states.h"
#include "worker/web/act.h"
#include "worker/web/job_row.h"
#include "worker/web/page.h"
#include "worker/web/values.h"
#include "worker/web/visitor.h"

handler_fn h_page_cancel, h_web_cancel, h_job_action;

json_t *cancel_url(const struct call *c, const json_t *job)
{
    const char *state = json_string_value(json_object_get(job, "job_state"));

    if ((state && state_is_over(state)) || !visitor_may(c, OP_WEB_CANCEL))
        return json_null();
    return page_url("/jobs/", json_string_text(json_object_get(job, "job_id")), "/cancel");
}

/* The job of the path as a row; NULL: answered. */
static json_t *job_of(struct call *c)
{
    struct text id = c->request->params[0];
    json_t *ids = json_pack("[o]", page_text(id)), *jobs = NULL;
    enum err e = jobs_read_ids(c->store, ids, &jobs);
    const json_t *job = json_object_getn(jobs, id.len ? id.s : "", id.len);
    json_t *row = job ? job_row(job) : NULL;

    if (e)
        reply_err(c, e);
    else if (!row)
        page_not_found(c, "Job", id);
    json_decref(ids);
    json_decref(jobs);
    return row;
}

void h_page_cancel(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    json_t *job = job_of(c);

    (void)n;
    if (job)
        page_reply(c, 200, json_pack("{s:s, s:o}", "title", "Cancel a job", "job", job));
}

/* 404 or 409 with the state that the job is in now: the API answers 400 for both. */
static void too_late(struct call *c)
{
    json_t *job = job_of(c);
    const char *state = json_string_value(json_object_get(job, "state"));

    if (job)
        reply_error(c, 409, "The job is over already, its state is %s", state ? state : "unknown");
    json_decref(job);
}

void h_web_cancel(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct text id = c->request->params[0];
    const struct act act = {.op = OP_JOB_ACTION,
                            .handler = h_job_action,
                            .body = json_pack("{s:s}", "action", "cancel")};

    (void)n;
    if (act_run(c, &act))
        page_see_other(c, page_url("/jobs/", id, "?done=cancelled"));
    else if (c->reply.status == 400 || c->reply.status == 404)
        too_late(c);
}
