#include "worker/handlers/provision_retry.h"

#include "common/log.h"
#include "worker/encoding/json_string.h"
#include "worker/events/lost_jobs.h"
#include "worker/events/online.h"
#include "worker/events/server_events.h"
#include "worker/jobs/retry.h"
#include "worker/jobs/states.h"

#include <stdio.h>
#include <string.h>

#define REASON_SIZE 256

/* What is known of the job; owned. */
struct run {
    struct orphan job;
    json_t *data;
    enum provisioned outcome;
};

bool provision_retry_may_be(const struct call *c, const struct result_put *put)
{
    return c->cfg->compat == COMPAT_DOCUMENTED && put->job_state &&
           state_is_complete(put->job_state) && provisioned(put->fields) != PROVISION_FINE;
}

/* Reads the job, and what its result says where the post does not. False: it is none that asks for
 * retries, or a fault, which the post itself finds again. */
static bool load(struct call *c, const struct result_put *put, struct run *r)
{
    struct job_read data = {.job_id = put->job_id};
    struct job_read result = {.job_id = put->job_id, .part = RESULT_FIELDS};

    if (store_jobs_get(c->store, &data, 1) || data.err)
        return false;
    r->data = data.value;
    r->outcome = provisioned(put->fields);
    if (json_integer_value(json_object_get(r->data, RETRY_FIELD)) <= 0)
        return false;
    if (r->outcome == PROVISION_UNKNOWN && !store_results_get(c->store, &result, 1) &&
        !result.err) {
        r->outcome = provisioned(result.value);
        json_decref(result.value);
    }
    return r->outcome == PROVISION_FAILED && !store_orphan_get(c->store, put->job_id, &r->job);
}

/* Whether this run of the job is over for the agent that posts: it lost the job, or the post, here
 * once more, came before the job was claimed again. */
static bool is_of_another(const struct call *c, const struct result_put *put,
                          const struct orphan *job)
{
    return (put->agent.s && job->owner && !text_is(put->agent, job->owner)) ||
           (c->repeat && c->request->received_us / 1000 + AGAIN_SKEW_MS < job->claimed_ms);
}

/* Whether another agent of the queue can take the job. */
static bool others_serve(struct call *c, const struct run *r)
{
    json_t *except = json_copy(json_object_get(r->data, "exclude_agents"));
    const json_t *queue = json_object_get(r->data, "job_queue");
    struct queue_agents look = {.except = except};

    if (!json_is_array(except)) {
        json_decref(except);
        look.except = except = json_array();
    }
    json_array_append_new(except, json_string(r->job.owner));
    enum err e = online_look(c->store, json_string_text(queue), &look);
    json_decref(except);
    return !e && look.online;
}

static void tell(struct call *c, const struct run *r, const char *reason)
{
    log_info("job %s waits again, %s", r->job.job_id, reason);
    server_events_send(c->cfg, c->store,
                       &(struct server_event){.job_id = r->job.job_id,
                                              .agent = r->job.owner,
                                              .queue = r->job.queue,
                                              .webhook = r->job.webhook,
                                              .event = "job_retried",
                                              .detail = reason});
    if (r->job.queue)
        call_wakes(c, (struct text){r->job.queue, strlen(r->job.queue)});
}

/* Stores the fields of the post, then ends the run. ERR_NOT_FOUND: the job changed meanwhile. */
static enum err again(struct call *c, const struct result_put *put, struct run *r,
                      long long allowed)
{
    struct result_put fields = *put;
    char agent[SHOWN_SIZE], reason[REASON_SIZE];
    struct orphan_end end = {.job_id = put->job_id, .reason = reason, .rerun = true};

    fields.job_state = NULL;
    enum err e = store_results_put(c->store, &fields, 1);
    e = e ? e : fields.err;
    orphan_free(&r->job); /* its lease was extended */
    r->job = (struct orphan){0};
    if (!e)
        e = store_orphan_get(c->store, put->job_id, &r->job);
    if (e)
        return e;
    end.lease_ms = r->job.lease_ms;
    if (r->job.owner && others_serve(c, r))
        end.exclude = r->job.owner;
    snprintf(reason, sizeof reason, "retry %lld of %lld: provisioning failed on agent %s",
             (long long)r->job.reruns + 1, allowed, lost_jobs_shown(r->job.owner, agent));
    e = store_orphan_end(c->store, &end);
    if (!e)
        tell(c, r, reason);
    return e;
}

static bool answer(struct call *c, const struct result_put *put, struct run *r)
{
    long long allowed = json_integer_value(json_object_get(r->data, RETRY_FIELD));
    enum err e = ERR_OK;

    if (r->job.reruns && strcmp(r->job.state, "waiting") == 0) {
        reply_text(c, 200, "OK"); /* the same once more: it waits again already */
        return true;
    }
    if (!r->job.lease_ms || is_of_another(c, put, &r->job) ||
        !retry_is_due(r->job.state, r->outcome, r->job.reruns, allowed))
        return false;
    e = again(c, put, r, allowed);
    if (e == ERR_NOT_FOUND || e == ERR_TOO_LARGE)
        return false;
    if (e)
        reply_err(c, e);
    else
        reply_text(c, 200, "OK");
    return true;
}

bool provision_retry(struct call *c, struct result_put *put)
{
    struct run r = {0};
    bool done = load(c, put, &r) && answer(c, put, &r);

    orphan_free(&r.job);
    json_decref(r.data);
    return done;
}
