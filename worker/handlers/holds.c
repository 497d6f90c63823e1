/* Pause and resume of queues; what holds mean to claims. */
#include "worker/handlers/holds.h"

#include "common/bus.h"
#include "common/clock.h"
#include "worker/auth/security_log.h"
#include "worker/encoding/json_string.h"
#include "worker/http/jsonbody.h"
#include "worker/request/path_name.h"
#include "worker/validation/schemas.h"

#include <stdio.h>
#include <string.h>

handler_fn h_queue_pause, h_queue_resume;

bool holds_spare(struct call *c, struct claim *claim, struct text *queues)
{
    struct hold_look looks[QUERY_MAX + 1];
    size_t n = claim->queues_len, left = 0;

    for (size_t i = 0; i < n; i++)
        looks[i] = (struct hold_look){.kind = HOLD_QUEUE, .name = queues[i]};
    looks[n] = (struct hold_look){.kind = HOLD_AGENT, .name = claim->agent};
    enum err e = store_holds_find(c->store, looks, n + (claim->agent.s != NULL));
    if (e) {
        reply_err(c, e);
        return false;
    }
    bool agent_held = claim->agent.s && looks[n].held;
    for (size_t i = 0; i < n && !agent_held; i++)
        if (!looks[i].held)
            queues[left++] = queues[i];
    if (left < n)
        reply_header(c, BUS_CLAIM_HELD, "yes");
    claim->queues_len = left;
    return left > 0;
}

enum err holds_load(struct store *s, enum hold_kind kind, struct text name, json_t **ret)
{
    struct hold_look look = {.kind = kind, .name = name};
    enum err e = store_holds_find(s, &look, 1);

    if (e)
        return e;
    if (look.held)
        return store_holds_list(s, kind, name, ret);
    *ret = json_object();
    return ERR_OK;
}

static bool fault(struct call *c, const char *name, const char *text)
{
    reply_invalid(c, json_pack("{s:[s]}", name, text));
    return false;
}

bool hold_reason_is_fine(struct call *c, const char *name, const json_t *reason, bool required)
{
    if (json_string_length(reason) > REASON_BYTES_MAX)
        return fault(c, name, "A reason has at most 1024 bytes.");
    return !required || json_string_length(reason) || fault(c, name, "A reason is required.");
}

bool hold_end_is_fine(struct call *c, const char *name, const json_t *until)
{
    return !until || json_integer_value(until) > store_now_ms(c->store) ||
           fault(c, name, "Must be in the future.");
}

bool hold_store(struct call *c, struct hold *hold)
{
    struct hold_look look = {.kind = hold->kind, .name = hold->name};
    bool ends = !hold->mode && !hold->only;

    if (ends && !c->repeat)
        hold->at_ms = INT64_MAX;
    enum err e = store_hold_put(c->store, hold);
    if (!e && ends && c->repeat)
        e = store_holds_find(c->store, &look, 1);
    if (e == ERR_CONFLICT)
        reply_error(c, 422, "%d agents and queues are out of service already", HOLDS_MAX);
    else if (e)
        reply_err(c, e);
    else if (look.held)
        reply_error(c, 409, "It was taken out of service again after this request was sent");
    return !e && !look.held;
}

/* ---- paused queues ---- */

/* The reason as a header: its bytes that a header may not hold become `?`. */
static void tell(struct call *c, const char *reason)
{
    char shown[REASON_BYTES_MAX + 1];
    size_t len = 0;

    for (; reason && reason[len] && len < REASON_BYTES_MAX; len++)
        shown[len] = reason[len] < ' ' || reason[len] > '~' ? '?' : reason[len];
    shown[len] = 0;
    reply_header(c, "X-Queue-Paused", len ? shown : "?");
}

void holds_tell_paused(struct call *c, struct text queue)
{
    json_t *list = NULL;

    if (holds_load(c->store, HOLD_QUEUE, queue, &list))
        return;
    const json_t *hold = json_object_getn(list, queue.s, queue.len);
    if (hold)
        tell(c, json_string_value(json_object_get(hold, "reason")));
    json_decref(list);
}

void holds_tell_paused_job(struct call *c, struct text job_id)
{
    struct hold_look any = {.kind = HOLD_QUEUE};
    struct job_read job = {.job_id = job_id};

    if (store_holds_find(c->store, &any, 1) || !any.held || store_jobs_get(c->store, &job, 1) ||
        job.err)
        return;
    const json_t *queue = json_object_get(job.value, "job_queue");
    holds_tell_paused(c, json_string_text(queue));
    json_decref(job.value);
}

/* Sets the hold, or ends it where `mode` is NULL. */
static void put_hold(struct call *c, const char *mode, const json_t *body, const char *action)
{
    const json_t *reason = json_object_get(body, "reason"), *until = json_object_get(body, "until");
    struct hold hold = {.kind = HOLD_QUEUE,
                        .name = c->request->params[0],
                        .mode = mode,
                        .by = caller_id(c),
                        .reason = json_string_text(reason),
                        .at_ms = c->request->received_us / 1000,
                        .until_ms = json_integer_value(until)};
    char date[CLOCK_TEXT_SIZE] = "";

    if (!hold_store(c, &hold))
        return;
    if (hold.until_ms)
        clock_rfc3339(hold.until_ms, date);
    audit(c, action, hold.name,
          json_pack("{s:O*, s:s*}", "reason", reason, "until", hold.until_ms ? date : NULL));
    reply_text(c, 200, "OK");
}

void h_queue_pause(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    json_t *body = json_body_load(c, &schema_pause, 0);

    (void)n;
    if (body && name_of_path_is_fine(c, "queue") && !audit_repeat_answered(c) &&
        hold_reason_is_fine(c, "reason", json_object_get(body, "reason"), true) &&
        hold_end_is_fine(c, "until", json_object_get(body, "until")))
        put_hold(c, HOLD_MODE_QUEUE, body, "queue.pause");
    json_decref(body);
}

void h_queue_resume(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    json_t *body = json_body_load(c, &schema_pause, 0);

    (void)n;
    if (body && name_of_path_is_fine(c, "queue") && !audit_repeat_answered(c) &&
        hold_reason_is_fine(c, "reason", json_object_get(body, "reason"), false)) {
        json_object_del(body, "until");
        put_hold(c, NULL, body, "queue.resume");
        call_wakes(c, c->request->params[0]);
    }
    json_decref(body);
}
