/* Events of a job: into the outbox first; the webhook worker tries them and answers then. */
#include "common/bus.h"
#include "common/mem.h"
#include "worker/events/receiver.h"
#include "worker/http/jsonbody.h"
#include "worker/jobs/job_events.h"
#include "worker/request/call.h"
#include "worker/store/event_post.h"
#include "worker/validation/job_id.h"
#include "worker/validation/schemas.h"

#include <stdio.h>
#include <string.h>

handler_fn h_job_events;

#define INVALID_URL "Invalid job_status_webhook URL specified"

/* The open mode takes any text, as the old servers did; with a NUL it could not be kept. */
static bool job_id_fits(const struct call *c)
{
    struct text id = c->request->params[0];

    return c->cfg->auth == AUTH_OPEN ? !memchr(id.s, '\0', id.len) : job_id_valid(id.s, id.len);
}

static void fill(struct event_post *p, const struct call *c)
{
    int64_t now = store_now_ms(c->store);

    snprintf(p->id, sizeof p->id, "%s", c->request->id);
    event_token(p->token);
    p->add = (struct outbox_add){.id = p->id,
                                 .job_id = p->job_id,
                                 .lane = p->lane,
                                 .receiver = p->receiver,
                                 .url = p->url,
                                 .body = p->body,
                                 .token = c->crowded ? NULL : p->token,
                                 .now_ms = now,
                                 .lease_end_ms = now + EVENT_LEASE_MS(c->cfg)};
}

/* Takes the URL out of the body; the rest is what the receiver gets. */
static struct event_post *post_new(const struct call *c, json_t *body)
{
    struct text id = c->request->params[0];
    struct event_post *p = mem_alloc(sizeof *p);

    p->job_id = mem_strndup(id.s, id.len);
    p->url = mem_strdup(json_string_value(json_object_get(body, "job_status_webhook")));
    json_object_del(body, "job_status_webhook");
    p->events = job_events_fit(json_object_get(body, "events"), JOB_EVENTS_MAX, JOB_EVENTS_BYTES);
    p->body = json_dumps(body, JSON_ENSURE_ASCII);
    mem_check(p->body);
    return p;
}

/* The event that a call brings, NULL: answered. */
static struct event_post *load(struct call *c)
{
    json_t *body = json_body_load(c, &schema_events, 0);

    if (!body) {
        if (c->reply.status == 422 && c->cfg->compat == COMPAT_DOCUMENTED)
            c->reply.status = 400;
        return NULL;
    }
    if (!job_id_fits(c)) {
        json_decref(body);
        reply_error(c, 400, INVALID_JOB_ID);
        return NULL;
    }
    struct event_post *p = post_new(c, body);
    json_decref(body);
    return p;
}

/* The job must exist where roles are looked at; its webhook must be an allowed one. */
static bool may_go(struct call *c, struct event_post *p, enum err job)
{
    enum receiver_rule rule = receiver_rule(c->cfg, p->url);

    if (job == ERR_NOT_FOUND)
        reply_error(c, 404, "Job not found");
    else if (job)
        reply_err(c, job);
    else if (rule == RECEIVER_UNSET)
        reply_error(c, 500, "Webhook URL not configured");
    else if (!receiver_allowed(rule) || receiver_of(p->url, p->receiver))
        reply_error(c, 403, INVALID_URL);
    else if (outbox_lane(p->job_id, p->receiver, p->lane))
        reply_error(c, 400, INVALID_JOB_ID);
    else
        return true;
    return false;
}

/* Drops the posts that are answered; returns how many are left. */
static size_t check(struct call *calls[], struct event_post *posts[], size_t n)
{
    struct job_read reads[BUS_BUNDLE_MAX];
    enum err all = ERR_OK;
    size_t left = 0;

    for (size_t i = 0; i < n; i++)
        reads[i] = (struct job_read){.job_id = {posts[i]->job_id, strlen(posts[i]->job_id)}};
    if (n && calls[0]->cfg->auth != AUTH_OPEN)
        all = store_jobs_get(calls[0]->store, reads, n);
    for (size_t i = 0; i < n; i++) {
        json_decref(reads[i].value);
        if (may_go(calls[i], posts[i], all ? all : reads[i].err)) {
            calls[left] = calls[i];
            posts[left++] = posts[i];
        } else {
            event_post_free(posts[i]);
        }
    }
    return left;
}

static void answer(struct call *c, struct event_post *p)
{
    if (p->add.err) {
        reply_err(c, p->add.err);
        event_post_free(p);
        return;
    }
    c->later = p;
    c->touch = TOUCH_AGENT;
    if (c->cfg->webhook_reply == WEBHOOK_REPLY_TRIED)
        return;
    reply_header(c, HEADER_EVENT_ID, p->add.stored_id);
    reply_header(c, HEADER_EVENT_STATE, "queued");
    reply_text(c, 202, EVENT_QUEUED);
}

/* Puts the events into the outbox, and with their jobs. */
static enum err keep(struct store *s, struct event_post *posts[], struct outbox_add *adds, size_t n)
{
    struct job_events_post kept[BUS_BUNDLE_MAX];
    enum err e = store_outbox_add(s, adds, n);

    for (size_t i = 0; i < n; i++)
        kept[i] = (struct job_events_post){.job_id = {posts[i]->job_id, strlen(posts[i]->job_id)},
                                           .events = posts[i]->events};
    return e ? e : store_job_events_add(s, kept, n);
}

void h_job_events(struct call *calls[], size_t n)
{
    struct event_post *posts[BUS_BUNDLE_MAX];
    struct outbox_add adds[BUS_BUNDLE_MAX];
    struct call *taken[BUS_BUNDLE_MAX];
    size_t len = 0;

    for (size_t i = 0; i < n; i++)
        if ((posts[len] = load(calls[i])))
            taken[len++] = calls[i];
    len = check(taken, posts, len);
    for (size_t i = 0; i < len; i++) {
        fill(posts[i], taken[i]);
        adds[i] = posts[i]->add;
    }
    enum err all = len ? keep(taken[0]->store, posts, adds, len) : ERR_OK;
    for (size_t i = 0; i < len; i++) {
        posts[i]->add = adds[i];
        if (all)
            posts[i]->add.err = all;
        answer(taken[i], posts[i]);
    }
}
