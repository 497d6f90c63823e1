/* Results: state and outcome of a job. */
#include "common/bus.h"
#include "common/text.h"
#include "worker/handlers/job_reads.h"
#include "worker/handlers/provision_retry.h"
#include "worker/handlers/result_view.h"
#include "worker/http/cookie.h"
#include "worker/http/jsonbody.h"
#include "worker/jobs/lease.h"
#include "worker/request/call.h"
#include "worker/request/doc_limits.h"
#include "worker/validation/job_id.h"
#include "worker/validation/schemas.h"

#include <string.h>

handler_fn h_result_put, h_result_get;

#define AGENT_NAME_MAX 1024

/* Removes job_state from the fields and returns it; NULL: not sent. */
static json_t *take_job_state(json_t *fields)
{
    json_t *state = json_incref(json_object_get(fields, "job_state"));

    json_object_del(fields, "job_state");
    return state;
}

/* One post of a bundle, and the state text that its put points to. */
struct post {
    struct call *call;
    json_t *state;
    struct buf agent; /* the agent's name, from its cookie */
};

/* The posts that are not stored yet. */
struct bundle {
    struct post posts[BUS_BUNDLE_MAX];
    struct result_put puts[BUS_BUNDLE_MAX];
    size_t len;
};

static void post_free(struct post *p, struct result_put *put)
{
    buf_free(&p->agent);
    json_decref(p->state);
    json_decref(put->fields);
}

static void post_answer(struct call *c, enum err e, const struct result_put *put)
{
    if (put->job_state && lease_has_own(put->job_state))
        c->touch = TOUCH_STATE;
    else if (!put->job_state) /* the job may be in a state with a lease of its own */
        c->touch = TOUCH_AGENT;
    if (!e || e == ERR_NOT_FOUND) /* agents also post results of expired jobs */
        reply_text(c, 200, "OK");
    else if (e == ERR_TOO_LARGE)
        reply_error(c, 413, TOO_LARGE_RESULT);
    else
        reply_err(c, e);
}

/* Stores and answers the posts, and empties the bundle. */
static void store_posts(struct store *s, struct bundle *b)
{
    enum err all = b->len ? store_results_put(s, b->puts, b->len) : ERR_OK;

    for (size_t i = 0; i < b->len; i++) {
        post_answer(b->posts[i].call, all ? all : b->puts[i].err, &b->puts[i]);
        post_free(&b->posts[i], &b->puts[i]);
    }
    b->len = 0;
}

/* Stores the bundle so far if it has a post of this job: answer_fits() must read that. */
static void store_earlier(struct store *s, struct bundle *b, struct text job_id)
{
    for (size_t i = 0; i < b->len; i++)
        if (text_equal(b->puts[i].job_id, job_id)) {
            store_posts(s, b);
            return;
        }
}

/* Whether the result with these fields fits an answer; false: answered. Checked only for many JSON
 * escapes (6 bytes each): else the store's limit suffices. Concurrent posts can still exceed it
 * together: leave_out() in result_view.c then drops fields. */
static bool answer_fits(struct call *c, const json_t *fields, struct bundle *b)
{
    struct job_read read = {.job_id = c->request->params[0], .part = RESULT_ALL};
    struct doc_size size = doc_size_of(fields);
    size_t max = (size_t)c->cfg->max_document;
    enum err e = ERR_OK;

    if (size.json <= size.bson + size.bson / 8 + 64)
        return true;
    store_earlier(c->store, b, read.job_id);
    e = store_results_get(c->store, &read, 1);
    if (!e)
        e = read.err;
    if (!e)
        size.json += doc_size_of(read.value).json;
    json_decref(read.value);
    if (e && e != ERR_NOT_FOUND)
        reply_err(c, e);
    else if (size.json > max)
        reply_error(c, 413, "The result would have %zu bytes as it is read, %zu are allowed",
                    size.json, max);
    else
        return true;
    return false;
}

/* Adds a call to the bundle, or answers it. */
static void post_load(struct bundle *b, struct call *c)
{
    struct text id = c->request->params[0], cookie = c->request->headers[HDR_COOKIE];
    json_t *fields = json_body_load(c, &schema_result,
                                    c->cfg->compat == COMPAT_DOCUMENTED ? SCHEMA_KEEP_UNKNOWN : 0);

    if (!fields)
        return;
    struct post p = {.call = c, .state = take_job_state(fields), .agent = BUF_INIT(AGENT_NAME_MAX)};
    struct result_put put = {.asked = call_asked(c),
                             .job_id = id,
                             .fields = fields,
                             .lease_ms = lease_end_ms(c),
                             .max = (size_t)c->cfg->max_document - DOCUMENT_ROOM,
                             .job_state = json_string_value(p.state)};
    bool fine = false;
    if (cookie.s && cookie_get(cookie, "agent_name", &p.agent))
        put.agent = (struct text){p.agent.data, p.agent.len};
    if (p.state && strlen(put.job_state) != json_string_length(p.state))
        reply_invalid(c, json_pack("{s:[s]}", "job_state", "Not a valid string."));
    else if (!job_id_valid(id.s, id.len))
        reply_error(c, 400, INVALID_JOB_ID);
    else
        fine = doc_fits(c, fields, put.max) && answer_fits(c, fields, b);
    bool ends = fine && provision_retry_may_be(c, &put);
    if (ends)
        store_earlier(c->store, b, id); /* provision_retry() must read that */
    if (!fine || (ends && provision_retry(c, &put))) {
        post_free(&p, &put);
        return;
    }
    b->posts[b->len] = p;
    b->puts[b->len++] = put;
}

void h_result_put(struct call *calls[], size_t n)
{
    struct bundle b = {.len = 0};

    for (size_t i = 0; i < n; i++)
        post_load(&b, calls[i]);
    store_posts(calls[0]->store, &b);
}

/* One read of a bundle. */
struct get {
    struct call *call;
    struct result_fields fields;
    struct log_look *look; /* NULL: no logs requested */
};

static void reply_result(const struct get *g, struct job_read *read)
{
    static const struct log_look none;
    const struct log_look *look = g->look ? g->look : &none;
    enum err e = read->err;

    if (!e)
        result_touch(g->call, read);
    if (e == ERR_NOT_FOUND || (!e && !g->fields.names && json_object_size(read->value) == 0))
        reply_none(g->call);
    else if (e || (e = look->err))
        reply_err(g->call, e);
    else
        result_reply(g->call, look, result_shown(g->call, read->value), &g->fields);
    json_decref(read->value);
}

/* Looks up the logs of the reads that request them. */
static enum err look_at_logs(struct store *s, struct get *gets, const struct job_read *reads,
                             size_t n, struct log_look *looks)
{
    size_t len = 0;

    for (size_t i = 0; i < n; i++)
        if (!reads[i].err && result_fields_logs(&gets[i].fields)) {
            gets[i].look = &looks[len];
            looks[len++] = (struct log_look){.job_id = reads[i].job_id};
        }
    return len ? store_logs_look(s, looks, len) : ERR_OK;
}

void h_result_get(struct call *calls[], size_t n)
{
    struct call *reading[BUS_BUNDLE_MAX];
    struct get gets[BUS_BUNDLE_MAX];
    struct job_read reads[BUS_BUNDLE_MAX];
    struct log_look looks[BUS_BUNDLE_MAX];
    size_t len = job_reads_load(calls, n, reading, reads);

    for (size_t i = 0; i < len; i++) {
        gets[i] = (struct get){.call = reading[i]};
        result_fields_load(reading[i]->request, &gets[i].fields);
        reads[i].part = gets[i].fields.part;
    }
    enum err all = len ? store_results_get(calls[0]->store, reads, len) : ERR_OK;
    if (!all)
        all = look_at_logs(calls[0]->store, gets, reads, len, looks);
    for (size_t i = 0; i < len; i++) {
        if (all)
            reads[i].err = all;
        reply_result(&gets[i], &reads[i]);
        result_fields_free(&gets[i].fields);
    }
}
