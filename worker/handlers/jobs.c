/* Jobs: submit, read, position, cancel. */
#include "common/bus.h"
#include "common/mem.h"
#include "common/metric_queues.h"
#include "worker/auth/authorize.h"
#include "worker/auth/security_log.h"
#include "worker/auth/token.h"
#include "worker/clients/permissions.h"
#include "worker/encoding/json_string.h"
#include "worker/events/server_events.h"
#include "worker/handlers/child_jobs.h"
#include "worker/handlers/holds.h"
#include "worker/handlers/idempotency.h"
#include "worker/handlers/job_adjust.h"
#include "worker/handlers/job_reads.h"
#include "worker/handlers/job_secrets.h"
#include "worker/handlers/submit.h"
#include "worker/handlers/unknown_queue.h"
#include "worker/http/etag.h"
#include "worker/http/jsonbody.h"
#include "worker/jobs/resubmission.h"
#include "worker/jobs/retry.h"
#include "worker/request/call.h"
#include "worker/request/doc_limits.h"
#include "worker/validation/job_id.h"
#include "worker/validation/schemas.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

handler_fn h_job_add, h_job_get, h_job_position, h_job_action;

/* A job between its checks and the store. */
struct submission {
    struct call *call; /* NULL: answered */
    json_t *data;
    json_t *parent_rights; /* owned; of a child job that its parent's agent submits; else NULL */
    char job_id[JOB_ID_SIZE];
    bool given;
    bool lacks_secrets; /* refused unless it repeats a submission that was accepted */
    json_int_t priority;
    struct job_wish wish; /* wish.queue points into `data` */
    struct asked asked;
};

static unsigned unknown_fields(const struct call *c)
{
    return c->cfg->compat == COMPAT_DOCUMENTED ? SCHEMA_KEEP_UNKNOWN : 0;
}

/* Old clients expect this text for an empty queue name. */
static void rename_empty_queue_fault(struct call *c)
{
    json_t *body = json_loadb(c->body, c->reply.body.len, 0, NULL);
    const char *fault = "";

    if (json_unpack(body, "{s:{s:{s:[s!]}}}", "detail", "json", "job_queue", &fault) == 0 &&
        strcmp(fault, "Shorter than minimum length 1.") == 0) {
        json_object_set_new(body, "message", json_string("Invalid data or no job_queue specified"));
        reply_json(c, 422, json_incref(body));
    }
    json_decref(body);
}

static bool excluded_leave_nobody(struct call *c, const json_t *data)
{
    const json_t *exclude = json_object_get(data, "exclude_agents");
    const json_t *queue = json_object_get(data, "job_queue");
    struct text name = json_string_text(queue);
    bool serves = true;

    if (json_array_size(exclude) == 0)
        return false;
    enum err e = store_queue_serves(c->store, name, exclude, &serves);
    if (e)
        reply_err(c, e);
    else if (!serves)
        reply_error(c, 422,
                    "There are no agents on the specified queue that are allowed to run this job");
    return e || !serves;
}

/* Checks a field that only this server knows; the schema accepts any value. False: answered. */
static bool own_field_is_fine(struct call *c, const json_t *data, const char *name, int64_t min,
                              int64_t max)
{
    const json_t *value = json_object_get(data, name);
    char fault[64];

    if (!value || (json_is_integer(value) && json_integer_value(value) >= min &&
                   json_integer_value(value) <= max))
        return true;
    snprintf(fault, sizeof fault, "Must be an integer from %lld to %lld.", (long long)min,
             (long long)max);
    reply_invalid(c, json_pack("{s:[s]}", name, fault));
    return false;
}

/* Removes job_id from the data. False: answered, not a UUID. */
static bool take_job_id(struct submission *s)
{
    json_t *id = json_object_get(s->data, "job_id");
    size_t len = json_string_length(id);

    s->given = len > 0;
    if (s->given && !job_id_valid(json_string_value(id), len)) {
        reply_error(s->call, 400, INVALID_JOB_ID);
        return false;
    }
    snprintf(s->job_id, sizeof s->job_id, "%s",
             s->given ? json_string_value(id) : s->call->request->id);
    json_object_del(s->data, "job_id");
    return true;
}

/* Adds the server's fields to the data. */
static void complete_data(json_t *data)
{
    if (!json_object_get(data, "exclude_agents"))
        json_object_set_new(data, "exclude_agents", json_array());
    if (job_wants_attachments(data))
        json_object_set_new(data, "attachments_status", json_string("waiting"));
}

/* The job's demands; whether its queue is restricted is filled in later. */
static struct job_wish wish_of(const json_t *data)
{
    const json_t *reserve = json_object_get(data, "reserve_data");
    const json_t *timeout = json_object_get(reserve, "timeout");

    return (struct job_wish){.queue = json_string_text(json_object_get(data, "job_queue")),
                             .priority = json_integer_value(json_object_get(data, "job_priority")),
                             .reservation = timeout   ? json_integer_value(timeout)
                                            : reserve ? RESERVATION_DEFAULT
                                                      : 0};
}

static struct text submitter_of(const struct submission *s)
{
    if (s->parent_rights)
        return json_string_text(json_object_get(s->parent_rights, "client_id"));
    return caller_id(s->call);
}

/* Whether the client has the secrets, or the request may repeat one that had them: those of single
 * use are gone once the first job has them. False: answered. */
static bool secrets_are_fine(struct submission *s)
{
    struct call *c = s->call;

    if (job_secrets_check(c, s->data, submitter_of(s)))
        return true;
    s->lacks_secrets = c->reply.status == 422 &&
                       (c->repeat || c->request->headers[HDR_IDEMPOTENCY_KEY].s) &&
                       json_object_get(s->data, "client_id");
    if (s->lacks_secrets)
        c->reply.status = 0; /* drop_lacking() decides */
    return s->lacks_secrets;
}

/* Checks before those of permissions, in the contract's order. False: answered. */
static bool submission_load(struct submission *s, struct call *c)
{
    *s = (struct submission){.call = c};
    if (!idempotency_is_fine(c))
        return false;
    s->data = json_body_load(c, &schema_job, unknown_fields(c));
    if (!s->data) {
        if (child_jobs_only(c))
            child_jobs_refuse(c);
        else if (c->reply.status == 422)
            rename_empty_queue_fault(c);
        return false;
    }
    if (child_jobs_only(c) && !(s->parent_rights = child_jobs_rights(c, s->data)))
        return false;
    if (!own_field_is_fine(c, s->data, RERUN_FIELD, 0, RERUNS_MAX) ||
        !own_field_is_fine(c, s->data, RETRY_FIELD, 0, RETRIES_MAX) ||
        !own_field_is_fine(c, s->data, QUEUE_TIMEOUT_FIELD, 1, QUEUE_TIMEOUT_MAX) ||
        !unknown_queue_is_fine(c, s->data) || !doc_fits(c, s->data, doc_job_max(c->cfg)) ||
        excluded_leave_nobody(c, s->data))
        return false;
    if (!secrets_are_fine(s) || !take_job_id(s))
        return false;
    s->wish = wish_of(s->data);
    s->asked = call_asked(c);
    s->priority = s->wish.priority;
    return !s->given || authorize_owner(c, (struct text){s->job_id, strlen(s->job_id)}, 0);
}

/* Whether the caller's permissions suffice. False: answered; in the open mode with less detail, as
 * the first servers did. */
static bool may_submit(const struct submission *s)
{
    struct call *c = s->call;
    struct job_refusal refusal;
    bool open = c->cfg->auth == AUTH_OPEN;

    if (!permissions_needed(&s->wish))
        return true;
    if (open && c->caller.fault) {
        struct token_answer answer = token_answer_old(c->caller.fault);
        reply_error(c, answer.status, "%s", answer.text);
        return false;
    }
    if (permissions_allow(s->parent_rights ? s->parent_rights : c->caller.permissions, &s->wish,
                          &refusal))
        return true;
    reply_error(c, refusal.status, "%s",
                open && refusal.status == 401 ? "Unauthorized" : refusal.text);
    return false;
}

/* Answers submissions that their callers may not make; moves the others to the front and returns
 * their number. */
static size_t check_permissions(struct submission *subs, size_t n)
{
    struct queue_check queues[BUS_BUNDLE_MAX];
    size_t left = 0;

    for (size_t i = 0; i < n; i++)
        queues[i] = (struct queue_check){.queue = subs[i].wish.queue};
    enum err e = n ? store_queues_restricted(subs[0].call->store, queues, n) : ERR_OK;
    for (size_t i = 0; i < n; i++) {
        subs[i].wish.restricted = queues[i].restricted;
        if (e) {
            reply_err(subs[i].call, e);
        } else if (may_submit(&subs[i])) {
            struct submission kept = subs[i];
            subs[i] = subs[left];
            subs[left++] = kept;
        }
    }
    return left;
}

static void submitted(const struct submission *s, bool added)
{
    const json_t *queue = json_object_get(s->data, "job_queue");

    if (added) {
        s->call->submitted =
            json_object_get(s->data, "reserve_data") ? SUBMITTED_RESERVATION : SUBMITTED_JOB;
        s->call->queue = metric_queue(json_string_text(queue));
    }
    reply_json(s->call, 200, json_pack("{s:s}", "job_id", s->job_id));
    if (!json_object_get(s->data, "attachments_status")) {
        s->call->wakes_any = s->call->cfg->restricted_claims == RESTRICTED_CLAIMS_ANY &&
                             json_array_size(json_object_get(s->data, "exclude_agents")) == 0;
        call_wakes(s->call, json_string_text(queue));
    }
}

/* Turns submissions with a known Idempotency-Key into repeats of the first one. Answers those whose
 * body differs from it; moves the others to the front and returns their number. */
static size_t find_earlier(struct submission *subs, size_t n)
{
    struct submit_key keys[BUS_BUNDLE_MAX];
    struct submission *keyed[BUS_BUNDLE_MAX];
    size_t len = 0, left = 0;

    for (size_t i = 0; i < n; i++)
        if (idempotency_load(&keys[len], subs[i].call, subs[i].data,
                             subs[i].given ? subs[i].job_id : NULL)) {
            snprintf(keys[len].job_id, sizeof keys[len].job_id, "%s", subs[i].job_id);
            keys[len].received_us = subs[i].asked.received_us;
            keyed[len++] = &subs[i];
        }
    if (!len)
        return n;
    const struct config *cfg = subs[0].call->cfg;
    enum err all = store_submit_keys(subs[0].call->store, keys, len,
                                     store_now_ms(subs[0].call->store) - cfg->expire_keys * 1000);
    for (size_t i = 0; i < len; i++) {
        enum err e = all ? all : keys[i].err;
        if (e == ERR_CONFLICT) {
            idempotency_refuse(keyed[i]->call);
        } else if (e) {
            reply_err(keyed[i]->call, e);
        } else if (keys[i].again) {
            snprintf(keyed[i]->job_id, sizeof keyed[i]->job_id, "%s", keys[i].job_id);
            keyed[i]->asked.received_us = keys[i].received_us;
            keyed[i]->asked.repeat = true;
        }
    }
    for (size_t i = 0; i < n; i++)
        if (!subs[i].call->reply.status) {
            struct submission kept = subs[i];
            subs[i] = subs[left];
            subs[left++] = kept;
        }
    return left;
}

static void submission_free(struct submission *s)
{
    json_decref(s->data);
    json_decref(s->parent_rights);
}

/* When the job is cancelled unless an agent has taken it; 0: never. */
static int64_t wait_until_ms(const struct submission *s)
{
    const json_t *timeout = json_object_get(s->data, QUEUE_TIMEOUT_FIELD);

    return timeout ? s->asked.received_us / 1000 + json_integer_value(timeout) * 1000 : 0;
}

/* Answers those whose queue nobody serves, if that matters; moves the others to the front and
 * returns their number. */
static size_t drop_unserved(struct submission *subs, size_t n)
{
    size_t left = 0;

    for (size_t i = 0; i < n; i++)
        if (unknown_queue_takes(subs[i].call, subs[i].data, subs[i].job_id)) {
            struct submission kept = subs[i];
            subs[i] = subs[left];
            subs[left++] = kept;
        }
    return left;
}

/* Looks for the job that a submission without its secrets repeats. ERR_NOT_FOUND: it repeats none;
 * one whose id the client chose must not start a new attempt, which would use them once more. */
static enum err find_repeated(struct submission *s)
{
    struct job_read read = {.job_id = {s->job_id, strlen(s->job_id)}};
    enum err e = store_jobs_get(s->call->store, &read, 1);

    if (!e)
        e = read.err;
    complete_data(s->data);
    if (!e && s->given && (!s->asked.repeat || !job_data_same(read.value, s->data)))
        e = ERR_NOT_FOUND;
    json_decref(read.value);
    return e;
}

/* Answers those without their secrets that repeat no job; moves the others to the front and returns
 * their number. */
static size_t drop_lacking(struct submission *subs, size_t n)
{
    size_t left = 0;

    for (size_t i = 0; i < n; i++) {
        struct submission *s = &subs[i], kept;
        enum err e = s->lacks_secrets ? find_repeated(s) : ERR_OK;
        if (e == ERR_NOT_FOUND && !job_secrets_check(s->call, s->data, submitter_of(s)))
            continue;
        if (e && e != ERR_NOT_FOUND) {
            reply_err(s->call, e);
            continue;
        }
        kept = *s;
        subs[i] = subs[left];
        subs[left++] = kept;
    }
    return left;
}

static void store_submissions(struct submission *subs, size_t n)
{
    struct job_new jobs[BUS_BUNDLE_MAX];

    for (size_t i = 0; i < n; i++) {
        complete_data(subs[i].data);
        jobs[i] = (struct job_new){.asked = subs[i].asked,
                                   .job_id = subs[i].job_id,
                                   .given = subs[i].given,
                                   .priority = subs[i].priority,
                                   .wait_until_ms = wait_until_ms(&subs[i]),
                                   .submitter = submitter_of(&subs[i]),
                                   .data = subs[i].data};
    }
    enum err all = n ? store_jobs_add(subs[0].call->store, jobs, n) : ERR_OK;
    for (size_t i = 0; i < n; i++) {
        enum err e = all ? all : jobs[i].err;
        if (e)
            reply_err(subs[i].call, e);
        else
            submitted(&subs[i], jobs[i].added);
    }
}

static void reply_right(struct submission *subs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        reply_json(subs[i].call, 200, json_object());
}

static void submit(struct call *calls[], size_t n, bool check_only)
{
    struct submission subs[BUS_BUNDLE_MAX];
    size_t loaded = 0;

    for (size_t i = 0; i < n; i++) {
        if (submission_load(&subs[loaded], calls[i]))
            loaded++;
        else
            submission_free(&subs[loaded]);
    }
    size_t left = check_permissions(subs, loaded);
    if (check_only)
        reply_right(subs, drop_unserved(subs, drop_lacking(subs, left)));
    else
        store_submissions(subs, drop_unserved(subs, drop_lacking(subs, find_earlier(subs, left))));
    for (size_t i = 0; i < loaded; i++)
        submission_free(&subs[i]);
}

void h_job_add(struct call *calls[], size_t n)
{
    submit(calls, n, false);
}

void submit_check(struct call *calls[], size_t n)
{
    submit(calls, n, true);
}

/* Fields of job_data that only the server and the agents see. */
static const char *const hidden_fields[] = {"attachments_status", "client_id", "started_at",
                                            "created_at", "job_state"};

/* Fields of the answer in the contract's order; unknown fields follow. */
static const char *const shown_fields[] = {"parent_job_id",
                                           "name",
                                           "tags",
                                           "job_queue",
                                           "global_timeout",
                                           "output_timeout",
                                           "allocation_timeout",
                                           "provision_data",
                                           "firmware_update_data",
                                           "test_data",
                                           "allocate_data",
                                           "reserve_data",
                                           "job_status_webhook",
                                           "job_priority",
                                           "exclude_agents",
                                           "debug"};

static json_t *job_as_submitted(const struct call *c, json_t *data)
{
    struct text id = c->request->params[0];
    json_t *shown = json_object(), *value;
    const char *key;

    json_object_set_new(shown, "job_id", json_stringn(id.s, id.len));
    if (json_array_size(json_object_get(data, "exclude_agents")) == 0)
        json_object_del(data, "exclude_agents");
    for (size_t i = 0; i < sizeof shown_fields / sizeof *shown_fields; i++)
        if ((value = json_object_get(data, shown_fields[i])))
            json_object_set(shown, shown_fields[i], value);
    for (size_t i = 0; i < sizeof hidden_fields / sizeof *hidden_fields; i++)
        json_object_del(data, hidden_fields[i]);
    if (c->cfg->compat == COMPAT_DOCUMENTED)
        json_object_foreach (data, key, value)
            if (!json_object_get(shown, key))
                json_object_set(shown, key, value);
    return shown;
}

static void reply_job(struct call *c, enum err e, json_t *data)
{
    if (e == ERR_NOT_FOUND)
        reply_none(c);
    else if (e)
        reply_err(c, e);
    else
        reply_json(c, 200, job_as_submitted(c, data));
    reply_tag(c);
    json_decref(data);
}

void h_job_get(struct call *calls[], size_t n)
{
    struct call *reading[BUS_BUNDLE_MAX];
    struct job_read reads[BUS_BUNDLE_MAX];
    size_t len = job_reads_load(calls, n, reading, reads);

    enum err all = len ? store_jobs_get(calls[0]->store, reads, len) : ERR_OK;
    for (size_t i = 0; i < len; i++)
        reply_job(reading[i], all ? all : reads[i].err, reads[i].value);
}

void h_job_position(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct text id = c->request->params[0];
    int64_t position;
    char text[32];

    (void)n;
    if (!job_id_valid(id.s, id.len)) {
        reply_error(c, 400, INVALID_JOB_ID);
        return;
    }
    enum err e = store_job_position(c->store, id, &position);
    if (e == ERR_NOT_FOUND) {
        reply_text(c, 410, "Job not found or already started\n");
    } else if (e) {
        reply_err(c, e);
    } else {
        snprintf(text, sizeof text, "%lld", (long long)position);
        reply_text(c, 200, text);
        holds_tell_paused_job(c, id);
    }
}

static void cancelled(struct call *c, struct text job_id)
{
    audit(c, "job.cancel", job_id, NULL);
    reply_text(c, 200, "OK");
}

static void cancel(struct call *c, struct text id)
{
    struct job_cancel cancel = {.asked = call_asked(c), .job_id = id};
    enum err e = store_jobs_cancel(c->store, &cancel, 1);
    if (!e)
        server_events_cancelled(c->cfg, c->store, &cancel, 1);
    if (e == ERR_NOT_FOUND && c->cfg->compat == COMPAT_DOCUMENTED)
        reply_error(c, 404, "Job not found");
    else if (e == ERR_NOT_FOUND || e == ERR_CONFLICT)
        reply_text(c, 400, "The job is already completed or cancelled");
    else if (e)
        reply_err(c, e);
    else
        cancelled(c, id);
}

static void act(struct call *c, struct text id, const json_t *body)
{
    if (strcmp(json_string_value(json_object_get(body, "action")), "cancel") == 0)
        cancel(c, id);
    else
        job_adjust(c, body);
}

void h_job_action(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct text id = c->request->params[0];
    bool more = c->cfg->compat == COMPAT_DOCUMENTED;
    json_t *body = json_body_load(c, more ? &schema_more_actions : &schema_action, 0);

    (void)n;
    if (body && !job_id_valid(id.s, id.len))
        reply_text(c, 400, INVALID_JOB_ID_TEXT);
    else if (body && authorize_owner(c, id, 0))
        act(c, id, body);
    json_decref(body);
}
