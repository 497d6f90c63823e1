#include "worker/events/server_events.h"

#include "common/log.h"
#include "common/mem.h"
#include "worker/events/receiver.h"
#include "worker/store/event_post.h"
#include "worker/validation/fieldtypes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One entry of the form that agents send. */
static char *body_of(const struct server_event *n, int64_t now_ms)
{
    char when[CLOCK_TEXT_SIZE];

    clock_rfc3339(now_ms, when);
    json_t *body =
        json_pack("{s:s, s:s, s:[{s:s, s:s, s:s}]}", "agent_id", n->agent ? n->agent : "",
                  "job_queue", n->queue ? n->queue : "", "events", "event_name", n->event,
                  "timestamp", when, "detail", n->detail);
    char *text = body ? json_dumps(body, JSON_ENSURE_ASCII) : NULL;
    json_decref(body);
    return text;
}

void server_events_send(const struct config *cfg, struct store *s, const struct server_event *n)
{
    char id[OUTBOX_TOKEN_SIZE], lane[OUTBOX_LANE_SIZE], receiver[RECEIVER_SIZE];
    int64_t now_ms = store_now_ms(s);

    if (!cfg->webhook_server_events || !n->webhook || !is_url(n->webhook, strlen(n->webhook)) ||
        !receiver_allowed(receiver_rule(cfg, n->webhook)) || receiver_of(n->webhook, receiver) ||
        outbox_lane(n->job_id, receiver, lane))
        return;
    char *body = body_of(n, now_ms);
    struct outbox_add add = {.id = id,
                             .job_id = n->job_id,
                             .lane = lane,
                             .receiver = receiver,
                             .url = n->webhook,
                             .body = body,
                             .now_ms = now_ms};
    if (n->id)
        snprintf(id, sizeof id, "%s", n->id);
    else
        event_token(id); /* a UUID */
    enum err e = body ? store_outbox_add(s, &add, 1) : ERR_INTERNAL;
    if (e || add.err)
        log_warn("the webhook of job %s does not get its event '%s': %s; see the message before",
                 n->job_id, n->event, err_text(e ? e : add.err));
    free(body);
}

/* ---- jobs that wait ---- */

/* Sends job_end, completed by the job's data. */
static void send_of(const struct config *cfg, struct store *s, struct server_event *n,
                    const json_t *data)
{
    n->queue = json_string_value(json_object_get(data, "job_queue"));
    n->webhook = json_string_value(json_object_get(data, "job_status_webhook"));
    n->event = "job_end";
    server_events_send(cfg, s, n);
}

void server_events_expired(const struct config *cfg, struct store *s, const char *job_id,
                           const char *reason)
{
    struct job_read read = {.job_id = {job_id, strlen(job_id)}};

    if (!cfg->webhook_server_events || store_jobs_get(s, &read, 1) || read.err)
        return;
    send_of(cfg, s, &(struct server_event){.job_id = job_id, .detail = reason}, read.value);
    json_decref(read.value);
}

void server_events_cancelled(const struct config *cfg, struct store *s, const struct job_cancel *c,
                             const char *event_id)
{
    struct job_read read = {.job_id = c->job_id};
    char job_id[JOB_ID_SIZE];

    if (!cfg->webhook_server_events || !c->waited || store_jobs_get(s, &read, 1) || read.err)
        return;
    snprintf(job_id, sizeof job_id, "%.*s", (int)c->job_id.len, c->job_id.s);
    send_of(cfg, s,
            &(struct server_event){.job_id = job_id,
                                   .detail = "cancelled while it waited for an agent",
                                   .id = event_id},
            read.value);
    json_decref(read.value);
}
