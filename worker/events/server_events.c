#include "worker/events/server_events.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/random.h"
#include "worker/events/receiver.h"
#include "worker/store/event_post.h"
#include "worker/validation/fieldtypes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uuid/uuid.h>

/* Jobs whose data are read, and events that are added, in one trip to the store. */
#define AT_ONCE 32

/* One event of the form that agents send. */
static json_t *event_of(const struct server_event *n, int64_t now_ms)
{
    char when[CLOCK_TEXT_SIZE];

    clock_rfc3339(now_ms, when);
    return json_pack("{s:s, s:s, s:s}", "event_name", n->event, "timestamp", when, "detail",
                     n->detail);
}

static char *body_of(const struct server_event *n, int64_t now_ms)
{
    json_t *body = json_pack("{s:s, s:s, s:[o]}", "agent_id", n->agent ? n->agent : "", "job_queue",
                             n->queue ? n->queue : "", "events", event_of(n, now_ms));
    char *text = body ? json_dumps(body, JSON_ENSURE_ASCII) : NULL;
    json_decref(body);
    return text;
}

/* An event that is about to be stored, with the texts that `add` points to. */
struct letter {
    struct outbox_add add;
    char id[OUTBOX_TOKEN_SIZE], lane[OUTBOX_LANE_SIZE], receiver[RECEIVER_SIZE];
    char *body; /* owned */
};

/* False: nobody gets the event. */
static bool write_letter(const struct config *cfg, const struct server_event *n, int64_t now_ms,
                         struct letter *l)
{
    if (!n->webhook || !is_url(n->webhook, strlen(n->webhook)) ||
        !receiver_allowed(receiver_rule(cfg, n->webhook)) || receiver_of(n->webhook, l->receiver) ||
        outbox_lane(n->job_id, l->receiver, l->lane))
        return false;
    l->body = body_of(n, now_ms);
    mem_check(l->body);
    if (n->id)
        snprintf(l->id, sizeof l->id, "%s", n->id);
    else
        event_token(l->id); /* a UUID */
    l->add = (struct outbox_add){.id = l->id,
                                 .job_id = n->job_id,
                                 .lane = l->lane,
                                 .receiver = l->receiver,
                                 .url = n->webhook,
                                 .body = l->body,
                                 .now_ms = now_ms};
    return true;
}

/* Adds up to AT_ONCE events to the outbox. */
static void send_all(const struct config *cfg, struct store *s, const struct server_event *events,
                     size_t n)
{
    struct letter *letters = mem_alloc(AT_ONCE * sizeof *letters);
    struct outbox_add adds[AT_ONCE];
    const char *names[AT_ONCE];
    size_t len = 0;
    int64_t now_ms = store_now_ms(s);

    for (size_t i = 0; i < n; i++)
        if (write_letter(cfg, &events[i], now_ms, &letters[len])) {
            adds[len] = letters[len].add;
            names[len++] = events[i].event;
        }
    enum err e = len ? store_outbox_add(s, adds, len) : ERR_OK;
    for (size_t i = 0; i < len; i++) {
        if (e || adds[i].err)
            log_warn(
                "the webhook of job %s does not get its event '%s': %s; see the message before",
                adds[i].job_id, names[i], err_text(e ? e : adds[i].err));
        free(letters[i].body);
    }
    free(letters);
}

void server_events_send(const struct config *cfg, struct store *s, const struct server_event *n)
{
    if (cfg->webhook_server_events)
        send_all(cfg, s, n, 1);
}

/* ---- events completed by the job's data ---- */

/* Completes an event by the job's data, which it points into. */
static void complete(struct server_event *n, const json_t *data)
{
    n->queue = json_string_value(json_object_get(data, "job_queue"));
    n->webhook = json_string_value(json_object_get(data, "job_status_webhook"));
}

static void send_of(const struct config *cfg, struct store *s, struct server_event *n)
{
    struct job_read read = {.job_id = {n->job_id, strlen(n->job_id)}};

    if (!cfg->webhook_server_events || store_jobs_get(s, &read, 1) || read.err)
        return;
    complete(n, read.value);
    server_events_send(cfg, s, n);
    json_decref(read.value);
}

void server_events_tell(const struct config *cfg, struct store *s, const struct server_event *n)
{
    struct server_event sent = *n;
    json_t *events = json_pack("[o]", event_of(n, store_now_ms(s)));
    struct job_events_post post = {
        .job_id = {n->job_id, strlen(n->job_id)}, .events = events, .max = JOB_EVENTS_MAX / 2};

    if (store_job_events_add(s, &post, 1))
        log_warn("job %s lacks the event '%s'; see the message before", n->job_id, n->event);
    json_decref(events);
    send_of(cfg, s, &sent);
}

void server_events_expired(const struct config *cfg, struct store *s, const char *job_id,
                           const char *reason)
{
    send_of(cfg, s, &(struct server_event){.job_id = job_id, .event = "job_end", .detail = reason});
}

/* Makes the id of the event of a request and a job. */
static void make_id(const char *request_id, struct text job_id, char out[UUID_STR_LEN])
{
    uuid_t request, event;

    if (uuid_parse(request_id, request))
        uuid_clear(request);
    uuid_generate_sha1(event, request, job_id.s, job_id.len);
    uuid_print(event, out);
}

/* The same for up to AT_ONCE jobs that waited. */
static void send_cancelled(const struct config *cfg, struct store *s,
                           const struct job_cancel *const cancels[], size_t n)
{
    char job_ids[AT_ONCE][JOB_ID_SIZE], ids[AT_ONCE][UUID_STR_LEN];
    struct server_event events[AT_ONCE];
    struct job_read reads[AT_ONCE] = {0};
    size_t len = 0;

    for (size_t i = 0; i < n; i++)
        reads[i].job_id = cancels[i]->job_id;
    enum err e = n ? store_jobs_get(s, reads, n) : ERR_OK;
    for (size_t i = 0; !e && i < n; i++) {
        if (reads[i].err)
            continue;
        snprintf(job_ids[len], sizeof job_ids[len], "%.*s", (int)reads[i].job_id.len,
                 reads[i].job_id.s);
        make_id(cancels[i]->asked.request_id, reads[i].job_id, ids[len]);
        events[len] = (struct server_event){.job_id = job_ids[len],
                                            .event = "job_end",
                                            .detail = "cancelled while it waited for an agent",
                                            .id = ids[len]};
        complete(&events[len++], reads[i].value);
    }
    send_all(cfg, s, events, len);
    for (size_t i = 0; i < n; i++)
        json_decref(reads[i].value);
}

void server_events_cancelled(const struct config *cfg, struct store *s,
                             const struct job_cancel *cancels, size_t n)
{
    const struct job_cancel *some[AT_ONCE];
    size_t len = 0;

    if (!cfg->webhook_server_events)
        return;
    for (size_t i = 0; i < n; i++) {
        if (!cancels[i].err && cancels[i].waited)
            some[len++] = &cancels[i];
        if (len == AT_ONCE || i + 1 == n) {
            send_cancelled(cfg, s, some, len);
            len = 0;
        }
    }
}
