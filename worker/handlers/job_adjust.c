#include "worker/handlers/job_adjust.h"

#include "worker/auth/security_log.h"
#include "worker/auth/token.h"
#include "worker/clients/permissions.h"
#include "worker/encoding/json_string.h"
#include "worker/handlers/submitter.h"
#include "worker/http/jsonbody.h"

#include <string.h>

/* Seconds by which one call extends a reservation at most. */
#define EXTEND_MAX ((int64_t)366 * 86400)

static void answer(struct call *c, const struct job_adjust *a, enum err e)
{
    if (e == ERR_NOT_FOUND)
        reply_error(c, 404, "Job not found");
    else if (e == ERR_CONFLICT)
        reply_error(c, 409, a->extends ? "The job is not reserved" : "The job does not wait");
    else if (e == ERR_FULL)
        reply_error(c, 403,
                    "The reservation would last longer than the %lld seconds that the submitter of "
                    "the job may reserve",
                    (long long)a->max_s);
    else if (e)
        reply_err(c, e);
    else
        reply_text(c, 200, "OK");
}

/* Fills the limit of the job's submitter. False: answered. */
static bool load_extension(struct call *c, const json_t *body, struct text queue,
                           struct job_adjust *a)
{
    json_t *client;

    a->extends = true;
    a->seconds = json_integer_value(json_object_get(body, "seconds"));
    if (a->seconds < 1 || a->seconds > EXTEND_MAX) {
        reply_invalid(c, json_pack("{s:[s]}", "seconds", "Must be an integer from 1 to 31622400."));
        return false;
    }
    enum err e = submitter_client(c->store, a->job_id, &client);
    a->max_s = permissions_reservation_max(client, queue);
    json_decref(client);
    if (e)
        answer(c, a, e);
    return !e;
}

/* Whether the caller could submit the job with this priority. False: answered. */
static bool load_priority(struct call *c, const json_t *body, struct text queue,
                          struct job_adjust *a)
{
    const json_t *priority = json_object_get(body, "priority");
    struct job_wish wish = {.queue = queue, .priority = json_integer_value(priority)};
    struct job_refusal refusal;

    a->priority = wish.priority;
    if (!priority) {
        reply_invalid(c, json_pack("{s:[s]}", "priority", "Missing data for required field."));
        return false;
    }
    if (permissions_allow(c->caller.permissions, &wish, &refusal))
        return true;
    reply_error(c, refusal.status, "%s", refusal.text);
    return false;
}

void job_adjust(struct call *c, const json_t *body)
{
    bool extends = strcmp(json_string_value(json_object_get(body, "action")), "extend") == 0;
    struct job_adjust a = {.asked = call_asked(c), .job_id = c->request->params[0]};
    struct job_read job = {.job_id = a.job_id};
    enum err e = store_jobs_get(c->store, &job, 1);
    const json_t *queue = json_object_get(job.value, "job_queue");
    struct text name = json_string_text(queue);

    e = e ? e : job.err;
    if (e) {
        answer(c, &a, e);
    } else if ((extends ? load_extension : load_priority)(c, body, name, &a)) {
        e = store_job_adjust(c->store, &a);
        if (!e)
            audit(c, extends ? "job.extend" : "job.priority", a.job_id,
                  json_pack("{s:I}", extends ? "seconds" : "priority",
                            (json_int_t)(extends ? a.seconds : a.priority)));
        answer(c, &a, e);
    }
    json_decref(job.value);
}
