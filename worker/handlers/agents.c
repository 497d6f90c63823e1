/* Agents: their own posts about themselves; readiness of the server. */
#include "common/bus.h"
#include "worker/auth/authorize.h"
#include "worker/auth/security_log.h"
#include "worker/encoding/json_string.h"
#include "worker/events/lost_jobs.h"
#include "worker/handlers/agents_view.h"
#include "worker/handlers/holds.h"
#include "worker/http/cookie.h"
#include "worker/http/jsonbody.h"
#include "worker/http/listing.h"
#include "worker/request/call.h"
#include "worker/request/doc_limits.h"
#include "worker/request/path_name.h"
#include "worker/validation/job_id.h"
#include "worker/validation/names.h"
#include "worker/validation/schemas.h"

#include <string.h>

handler_fn h_agent_put, h_agents_get, h_agent_get, h_provision_add, h_readyz;

/* Bytes of unknown fields in one post; its agent keeps AGENT_NAMES_MAX of all posts. */
#define EXTRA_BYTES_MAX ((size_t)16 * 1024)

/* The agent_name cookie identifies the agent in its later claims. */
static void set_agent_cookie(struct call *c, struct text name)
{
    struct buf cookie = BUF_INIT((size_t)4 * NAME_BYTES_MAX + 128);
    enum err e = buf_printf(&cookie, "agent_name=");

    if (!e)
        e = cookie_quote(name, &cookie);
    if (!e)
        e = buf_printf(&cookie, "; HttpOnly; Path=/; SameSite=Strict");
    if (!e)
        reply_header(c, "Set-Cookie", cookie.data);
    buf_free(&cookie);
}

/* Whether somebody who is no agent calls. */
static bool is_user(const struct call *c)
{
    return c->caller.has_token && c->caller.role != ROLE_AGENT;
}

/* Audits only changes of state and comment that the agent did not make itself. */
static void audit_change(struct call *c, struct text name, json_t *fields)
{
    json_t *state = json_object_get(fields, "state"), *comment = json_object_get(fields, "comment");

    if (!is_user(c) || (!state && !comment))
        return;
    json_t *detail = json_object();
    if (state)
        json_object_set(detail, "state", state);
    if (comment)
        json_object_set(detail, "comment", comment);
    audit(c, "agent.update", name, detail);
}

/* The newest lines of a post that fit into the log, new reference or NULL. */
static json_t *newest(json_t *lines)
{
    size_t n = json_array_size(lines);
    json_t *kept;

    if (n <= AGENT_LOG_MAX)
        return json_incref(lines);
    kept = json_array();
    for (size_t i = n - AGENT_LOG_MAX; i < n; i++)
        json_array_append(kept, json_array_get(lines, i));
    return kept;
}

/* Fills the put, whose values put_free() releases; false: answered. */
static bool put_load(struct call *c, struct agent_put *put)
{
    bool documented = c->cfg->compat == COMPAT_DOCUMENTED;
    const struct schema *schema = documented ? &schema_agent : &schema_agent_reference;

    *put = (struct agent_put){.asked = call_asked(c), .name = c->request->params[0]};
    put->fields = json_body_load(c, schema, documented ? SCHEMA_KEEP_UNKNOWN : 0);
    if (!put->fields || !name_of_path_is_fine(c, "agent_name") || !authorize_agent(c, put->name))
        return false;
    put->log = newest(json_object_get(put->fields, "log"));
    json_object_del(put->fields, "log");
    put->extra = schema_take_unknown(schema, put->fields);
    if (doc_size_of(put->extra).bson <= EXTRA_BYTES_MAX)
        return true;
    reply_invalid(c, json_pack("{s:[s]}", "_schema", "Unknown fields have more than 16 KiB."));
    return false;
}

/* An agent that waits and says that it has no job was started again after those that it has. */
static void end_left(struct call *c, const struct agent_put *put)
{
    const char *state = json_string_value(json_object_get(put->fields, "state"));
    const char *job_id = json_string_value(json_object_get(put->fields, "job_id"));
    struct agent_since since = {.name = put->name,
                                .before_ms = put->asked.received_us / 1000 + AGAIN_SKEW_MS};

    if (state && job_id && strcmp(state, "waiting") == 0 && !*job_id && !is_user(c) && !c->repeat)
        lost_jobs_left(c, &since, 1);
}

static void put_free(struct agent_put *put)
{
    json_decref(put->fields);
    json_decref(put->extra);
    json_decref(put->log);
}

/* Answers a post that is stored, once its mode is. */
static void put_end(struct call *c, const struct agent_put *put, struct agent_mode *mode)
{
    bool audited = false;

    if (put->err) {
        reply_err(c, put->err);
        return;
    }
    if (!agent_mode_store(c, mode, &audited))
        return;
    if (!audited)
        audit_change(c, put->name, put->fields);
    end_left(c, put);
    /* Clients ignore the body, but the tests of old and new servers compare it. */
    if (c->cfg->auth == AUTH_OPEN && !c->request->headers[HDR_AUTHORIZATION].s)
        reply_text(c, 200, "OK");
    else
        reply_json(c, 200, json_pack("{s:s}", "status", "OK"));
    set_agent_cookie(c, put->name);
}

void h_agent_put(struct call *calls[], size_t n)
{
    struct call *putting[BUS_BUNDLE_MAX];
    struct agent_put puts[BUS_BUNDLE_MAX];
    struct agent_mode modes[BUS_BUNDLE_MAX];
    size_t len = 0;

    for (size_t i = 0; i < n; i++) {
        struct agent_put *put = &puts[len];
        modes[len] = (struct agent_mode){0};
        if (put_load(calls[i], put) &&
            agent_mode_take(calls[i], put->name, put->fields, &modes[len])) {
            putting[len++] = calls[i];
        } else {
            agent_mode_free(&modes[len]);
            put_free(put);
        }
    }
    enum err all = len ? store_agents_put(calls[0]->store, puts, len) : ERR_OK;
    for (size_t i = 0; i < len; i++) {
        if (all)
            puts[i].err = all;
        put_end(putting[i], &puts[i], &modes[i]);
        agent_mode_free(&modes[i]);
        put_free(&puts[i]);
    }
}

void h_agents_get(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    const struct text any = {NULL, 0};
    struct agent_view view = {0};
    struct listing list;

    (void)n;
    if (!dates_of(c, &view.dates) || !listing_begin(&list, c, false))
        return;
    enum err e = agent_view_load(c, any, &view);
    list.show = agent_view_show;
    list.arg = &view;
    if (!e)
        e = store_agents_list(c->store, any, &list.walk);
    if (e)
        reply_err(c, e);
    else
        listing_reply(&list, NULL);
    listing_drop(&list);
    agent_view_free(&view);
}

/* Answers with an agent that was read, and takes it. */
static void reply_agent(struct call *c, struct agent_read *read, enum dates dates)
{
    struct agent_view view = {.dates = dates};
    enum err e = read->err ? read->err : agent_view_load(c, read->name, &view);

    if (e == ERR_NOT_FOUND)
        reply_json(c, 404, json_object());
    else if (e)
        reply_err(c, e);
    else
        reply_json(c, 200, agent_view_show(&view, json_incref(read->agent)));
    json_decref(read->agent);
    agent_view_free(&view);
}

void h_agent_get(struct call *calls[], size_t n)
{
    struct call *reading[BUS_BUNDLE_MAX];
    struct agent_read reads[BUS_BUNDLE_MAX];
    enum dates dates[BUS_BUNDLE_MAX];
    size_t len = 0;

    for (size_t i = 0; i < n; i++)
        if (dates_of(calls[i], &dates[len])) {
            reading[len] = calls[i];
            reads[len++] = (struct agent_read){.name = calls[i]->request->params[0]};
        }
    enum err all = len ? store_agents_get(calls[0]->store, reads, len) : ERR_OK;
    for (size_t i = 0; i < len; i++) {
        if (all)
            reads[i].err = all;
        reply_agent(reading[i], &reads[i], dates[i]);
    }
}

/* Adds the client that submitted the entry's job, where that is known. */
static enum err add_submitter(struct store *s, json_t *fields)
{
    const json_t *job_id = json_object_get(fields, "job_id");
    struct text id = json_string_text(job_id);
    json_t *submitter = NULL;
    enum err e = job_id_valid(id.s, id.len) ? store_job_submitter(s, id, &submitter) : ERR_OK;

    if (submitter)
        json_object_set_new(fields, "client_id", submitter);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

void h_provision_add(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    json_t *fields = json_body_load(c, &schema_provision_log, 0);

    (void)n;
    if (!fields)
        return;
    if (!name_of_path_is_fine(c, "agent_name") || !authorize_agent(c, c->request->params[0])) {
        json_decref(fields);
        return;
    }
    enum err e = add_submitter(c->store, fields);
    struct provision_entry entry = {
        .request_id = c->request->id,
        .agent = c->request->params[0],
        .fields = fields,
        .failed = json_integer_value(json_object_get(fields, "exit_code")) != 0};
    if (!e)
        e = store_provision_add(c->store, &entry);
    json_decref(fields);
    if (e == ERR_NOT_FOUND && c->cfg->compat == COMPAT_DOCUMENTED)
        reply_error(c, 404, "Agent not found");
    else if (e == ERR_NOT_FOUND)
        reply_text(c, 404, "Agent not found\n");
    else if (e)
        reply_err(c, e);
    else
        reply_text(c, 200, "OK");
}

void h_readyz(struct call *calls[], size_t n)
{
    enum err e = store_ping(calls[0]->store);

    (void)n;
    if (e)
        reply_err(calls[0], e);
    else
        reply_json(calls[0], 200, json_pack("{s:s}", "status", "ok"));
}
