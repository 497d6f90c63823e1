/* The agents' claim: hands out the next job of their queues. */
#include "common/bus.h"
#include "common/log.h"
#include "common/mem.h"
#include "worker/auth/authorize.h"
#include "worker/auth/restrictions.h"
#include "worker/auth/security_log.h"
#include "worker/clients/permissions.h"
#include "worker/events/lost_jobs.h"
#include "worker/handlers/holds.h"
#include "worker/handlers/job_secrets.h"
#include "worker/http/cookie.h"
#include "worker/http/dates.h"
#include "worker/http/query.h"
#include "worker/request/call.h"
#include "worker/secrets/wipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

handler_fn h_job_claim;

#define AGENT_NAME_MAX 1024

/* One claim of a bundle with the memory it points to. */
struct wish {
    struct call *call;
    struct text *queues;
    struct buf agent;
    enum dates dates;
};

/* An old agent runs any other JSON object as a job, so the body of every refusal to it is {}. */
static void refuse(struct call *c, int status, const char *message)
{
    if (c->cfg->auth == AUTH_OPEN)
        reply_json(c, status, json_object());
    else
        reply_error(c, status, "%s", message);
}

/* Limit of queues in the order of the query: MongoDB is asked for each. */
#define ORDERED_MAX 100

/* Reads `queue` and `order` of the query. False: answered. */
static bool find_queues(struct wish *w, struct claim *claim)
{
    struct call *c = w->call;
    struct text order;

    claim->in_order = query_first(c->request, "order", &order);
    claim->queues_len = query_values(c->request, "queue", w->queues);
    if (claim->queues_len == 0)
        refuse(c, 400, "No queue(s) specified in request");
    else if (claim->in_order && !text_is(order, "query"))
        refuse(c, 400, "Unknown order, must be: query");
    else if (claim->in_order && claim->queues_len > ORDERED_MAX)
        refuse(c, 400, "Too many queues for order=query, at most 100");
    return !c->reply.status;
}

static void wish_free(struct wish *w)
{
    free(w->queues);
    buf_free(&w->agent);
}

/* Identifies the agent by its agent_name cookie (set by h_agent_put). False: answered. */
static bool find_agent(struct wish *w, struct claim *claim)
{
    struct call *c = w->call;
    struct text cookie = c->request->headers[HDR_COOKIE];

    if (cookie.s && cookie_get(cookie, "agent_name", &w->agent))
        claim->agent = (struct text){w->agent.data, w->agent.len};
    if (!claim->agent.s && c->cfg->auth != AUTH_OPEN) {
        refuse(c, 401, "Agent not identified");
        return false;
    }
    if (authorize_agent(c, claim->agent))
        return true;
    if (c->cfg->auth == AUTH_OPEN)
        refuse(c, c->reply.status, "");
    return false;
}

/* Removes the restricted queues that the caller is not allowed on, if a setting says so. False:
 * answered, no queue is left. */
static bool drop_restricted(struct wish *w, struct claim *claim)
{
    struct call *c = w->call;
    const json_t *restricted;
    size_t n = claim->queues_len, left = 0;

    if (c->cfg->restricted_claims == RESTRICTED_CLAIMS_ANY)
        return true;
    enum err e = restrictions_get(c->store, &restricted);
    if (e) {
        reply_err(c, e);
        return false;
    }
    for (size_t i = 0; i < n; i++)
        if (!json_object_getn(restricted, w->queues[i].s, w->queues[i].len) ||
            permissions_allow_queue(c->caller.permissions, w->queues[i]))
            w->queues[left++] = w->queues[i];
    claim->queues_len = left;
    if (left)
        return true;
    refuse(c, 403, "Not enough permissions to take jobs of a restricted queue");
    security_refused(c, "the client is not allowed on the queue");
    return false;
}

/* The form of dates. False: answered. */
static bool find_dates(struct wish *w)
{
    struct call *c = w->call;

    if (dates_of(c, &w->dates))
        return true;
    if (c->cfg->auth == AUTH_OPEN)
        refuse(c, c->reply.status, "");
    return false;
}

/* Fills wish and claim; false: answered. */
static bool wish_load(struct wish *w, struct claim *claim, struct call *c)
{
    const struct request *r = c->request;

    *w = (struct wish){.call = c,
                       .queues = mem_alloc((r->query_len + 1) * sizeof *w->queues),
                       .agent = BUF_INIT(AGENT_NAME_MAX)};
    *claim = (struct claim){.asked = call_asked(c),
                            .queues = w->queues,
                            .no_secrets = job_secrets_are_away(),
                            .lease_ms = lease_end_ms(c)};
    if (find_queues(w, claim) && find_dates(w) && find_agent(w, claim) &&
        drop_restricted(w, claim) && !r->head && holds_spare(c, claim, w->queues))
        return true;
    if (!c->reply.status) /* HEAD takes no job; or there is none to hand out */
        reply_none(c);
    wish_free(w);
    return false;
}

/* Limit of the jobs too large for an answer (from older releases) that one request cancels. */
#define UNFIT_MAX 8

/* Answers with the job. False: it is too large for an answer. */
static bool reply_job(const struct wish *w, const struct claim *claim)
{
    struct call *c = w->call;

    json_object_set_new(claim->data, "job_id", json_string(claim->job_id));
    json_object_set_new(claim->data, "started_at", json_integer(claim->started_ms));
    date_show(w->dates, claim->data, "started_at");
    reply_json(c, 200, json_incref(claim->data));
    c->reply.claimed = c->reply.status == 200;
    if (c->secret)
        reply_header(c, "Cache-Control", "no-store");
    return c->reply.claimed;
}

static void drop_job(struct claim *claim)
{
    json_decref(claim->data);
    free(claim->job_id);
    claim->data = NULL;
    claim->job_id = NULL;
}

/* Cancels the job that is too large for an answer, and claims the next one. */
static void pass_over(struct call *c, struct claim *claim)
{
    struct job_unfit unfit = {.job_id = {claim->job_id, strlen(claim->job_id)},
                              .token = claim->asked.request_id,
                              .reason = UNFIT_REASON};

    log_error("cancelled job %s: %s", claim->job_id, UNFIT_REASON);
    enum err e = store_job_unfit(c->store, &unfit);
    wipe_json(c->secret);
    drop_job(claim);
    wipe_json(false);
    if (!e || e == ERR_NOT_FOUND)
        e = store_jobs_claim(c->store, claim, 1);
    if (e)
        claim->err = e;
}

/* Gives the job back, whose secrets cannot be read, and claims the next one without any. */
static void give_back(struct call *c, struct claim *claim)
{
    struct claim_settle settle = {0};

    snprintf(settle.token, sizeof settle.token, "%s", claim->asked.request_id);
    enum err e = store_claims_settle(c->store, &settle, 1);
    free(settle.queue);
    if (!e)
        e = settle.err;
    drop_job(claim);
    claim->no_secrets = true;
    c->secret = false;
    c->claims_returned++;
    if (!e)
        e = store_jobs_claim(c->store, claim, 1);
    if (e)
        claim->err = e;
}

/* Answers with the job, or claims another one where that cannot be. True: answered. */
static bool hand_out(struct wish *w, struct claim *claim)
{
    if (job_secrets_fill(w->call, claim))
        give_back(w->call, claim);
    else if (reply_job(w, claim))
        return true;
    else
        pass_over(w->call, claim);
    return false;
}

static void wish_answer(struct wish *w, struct claim *claim)
{
    for (int i = 0; !claim->err && i < UNFIT_MAX && !hand_out(w, claim);)
        i++;
    w->call->reply.secret = w->call->secret;
    if (claim->err == ERR_NOT_FOUND)
        reply_none(w->call);
    else if (claim->err)
        reply_err(w->call, claim->err);
    else if (!w->call->reply.claimed) /* UNFIT_MAX jobs did not fit: let the agent ask again */
        reply_err(w->call, ERR_UNAVAILABLE);
    wipe_json(w->call->secret);
    drop_job(claim);
    wipe_json(false);
    wish_free(w);
}

/* An agent that gets a job has lost those that it had before it asked: it was started again. */
static void end_left(const struct wish *wishes, const struct claim *claims, size_t n)
{
    struct agent_since agents[BUS_BUNDLE_MAX];
    size_t len = 0;

    for (size_t i = 0; i < n; i++)
        if (!claims[i].err && claims[i].agent.s)
            agents[len++] = (struct agent_since){
                .name = claims[i].agent,
                .before_ms = claims[i].asked.received_us / 1000 + AGAIN_SKEW_MS,
                .job_id = {claims[i].job_id, strlen(claims[i].job_id)}};
    lost_jobs_left(wishes[0].call, agents, len);
}

void h_job_claim(struct call *calls[], size_t n)
{
    struct wish wishes[BUS_BUNDLE_MAX];
    struct claim claims[BUS_BUNDLE_MAX];
    size_t len = 0;

    for (size_t i = 0; i < n; i++)
        if (wish_load(&wishes[len], &claims[len], calls[i]))
            len++;
    if (!len)
        return;
    enum err all = store_jobs_claim(calls[0]->store, claims, len);
    if (!all)
        end_left(wishes, claims, len);
    for (size_t i = 0; i < len; i++) {
        if (all && !claims[i].err)
            claims[i].err = all;
        wish_answer(&wishes[i], &claims[i]);
    }
}
