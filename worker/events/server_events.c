#include "worker/events/server_events.h"

#include "common/log.h"
#include "common/mem.h"
#include "worker/events/receiver.h"
#include "worker/store/event_post.h"
#include "worker/validation/fieldtypes.h"

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
    int64_t now_ms = clock_wall_us() / 1000;

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
    event_token(id); /* a UUID */
    enum err e = body ? store_outbox_add(s, &add, 1) : ERR_INTERNAL;
    if (e || add.err)
        log_warn("the webhook of job %s does not get its event '%s': %s; see the message before",
                 n->job_id, n->event, err_text(e ? e : add.err));
    free(body);
}

/* ---- jobs that wait ---- */

static void send_of(const struct config *cfg, struct store *s, const char *job_id,
                    const json_t *data, const char *detail)
{
    const struct server_event n = {
        .job_id = job_id,
        .queue = json_string_value(json_object_get(data, "job_queue")),
        .webhook = json_string_value(json_object_get(data, "job_status_webhook")),
        .event = "job_end",
        .detail = detail};

    server_events_send(cfg, s, &n);
}

void server_events_expired(const struct config *cfg, struct store *s, const char *job_id)
{
    struct job_read read = {.job_id = {job_id, strlen(job_id)}};

    if (!cfg->webhook_server_events || store_jobs_get(s, &read, 1) || read.err)
        return;
    send_of(cfg, s, job_id, read.value, EXPIRY_REASON);
    json_decref(read.value);
}

static bool waits(struct store *s, struct text job_id)
{
    struct job_read read = {.job_id = job_id};
    const char *state;

    if (store_results_get(s, &read, 1) || read.err)
        return false;
    state = json_string_value(json_object_get(read.value, "job_state"));
    bool found = state && strcmp(state, "waiting") == 0;
    json_decref(read.value);
    return found;
}

void server_events_look(const struct config *cfg, struct store *s, struct text job_id,
                        struct server_events_job *ret)
{
    struct job_read read = {.job_id = job_id};

    *ret = (struct server_events_job){0};
    if (!cfg->webhook_server_events || !waits(s, job_id) || store_jobs_get(s, &read, 1) || read.err)
        return;
    ret->data = read.value;
}

void server_events_free(struct server_events_job *j)
{
    json_decref(j->data);
    j->data = NULL;
}

void server_events_cancelled(const struct config *cfg, struct store *s, struct text job_id,
                             const struct server_events_job *j)
{
    char *id = mem_strndup(job_id.s, job_id.len);

    if (j->data)
        send_of(cfg, s, id, j->data, "cancelled while it waited for an agent");
    free(id);
}
