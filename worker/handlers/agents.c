/* Agents: their own posts about themselves; readiness of the server. */
#include "worker/auth/authorize.h"
#include "worker/auth/security_log.h"
#include "worker/http/cookie.h"
#include "worker/http/jsonbody.h"
#include "worker/http/listing.h"
#include "worker/request/call.h"
#include "worker/request/path_name.h"
#include "worker/validation/names.h"
#include "worker/validation/schemas.h"

handler_fn h_agent_put, h_agents_get, h_agent_get, h_provision_add, h_readyz;

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

/* Audits only changes of state and comment that the agent did not make itself. */
static void audit_change(struct call *c, struct text name, json_t *fields)
{
    json_t *state = json_object_get(fields, "state"), *comment = json_object_get(fields, "comment");

    if (!c->caller.has_token || c->caller.role == ROLE_AGENT || (!state && !comment))
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

void h_agent_put(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct text name = c->request->params[0];
    json_t *fields = json_body_load(c, &schema_agent, 0);

    (void)n;
    if (!fields)
        return;
    if (!name_of_path_is_fine(c, "agent_name") || !authorize_agent(c, name)) {
        json_decref(fields);
        return;
    }
    json_t *log = newest(json_object_get(fields, "log"));
    json_object_del(fields, "log");
    struct agent_put put = {.asked = call_asked(c), .name = name, .fields = fields, .log = log};
    enum err e = store_agent_put(c->store, &put);
    if (!e)
        audit_change(c, name, fields);
    json_decref(log);
    json_decref(fields);
    if (e) {
        reply_err(c, e);
        return;
    }
    /* Clients ignore the body, but the tests of old and new servers compare it. */
    if (c->cfg->auth == AUTH_OPEN && !c->request->headers[HDR_AUTHORIZATION].s)
        reply_text(c, 200, "OK");
    else
        reply_json(c, 200, json_pack("{s:s}", "status", "OK"));
    set_agent_cookie(c, name);
}

/* Adds restricted_to: the agent's restricted queues, each with the clients that may submit to it.
 * `restricted`: {QUEUE: OWNERS, ...} of all. Takes and returns the agent. */
static json_t *show_restricted(void *restricted, json_t *agent)
{
    json_t *shown = json_object(), *owners, *queue;
    size_t i;

    json_array_foreach (json_object_get(agent, "queues"), i, queue) {
        const char *name = json_string_value(queue);
        size_t len = json_string_length(queue);
        if (name && (owners = json_object_getn(restricted, name, len)))
            json_object_setn(shown, name, len, owners);
    }
    json_object_set_new(agent, "restricted_to", shown);
    return agent;
}

/* {QUEUE: OWNERS, ...} of the restricted queues with owners, new reference. */
static enum err load_restricted(struct store *s, json_t **ret)
{
    json_t *list = NULL, *entry, *owners;
    enum err e = store_restricted_list(s, (struct text){NULL, 0}, &list);
    size_t i;

    if (e)
        return e;
    *ret = json_object();
    json_array_foreach (list, i, entry) {
        const json_t *queue = json_object_get(entry, "queue");
        owners = json_object_get(entry, "owners");
        if (json_array_size(owners))
            json_object_setn(*ret, json_string_value(queue), json_string_length(queue), owners);
    }
    json_decref(list);
    return ERR_OK;
}

void h_agents_get(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    const struct text any = {NULL, 0};
    json_t *restricted = NULL;
    struct listing list;

    (void)n;
    if (!listing_begin(&list, c, false))
        return;
    enum err e = load_restricted(c->store, &restricted);
    list.show = show_restricted;
    list.arg = restricted;
    if (!e)
        e = store_agents_list(c->store, any, &list.walk);
    if (e)
        reply_err(c, e);
    else
        listing_reply(&list, NULL);
    listing_drop(&list);
    json_decref(restricted);
}

void h_agent_get(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    json_t *agent = NULL, *restricted = NULL;
    enum err e = store_agent_get(c->store, c->request->params[0], &agent);

    (void)n;
    if (e == ERR_NOT_FOUND) {
        reply_json(c, 404, json_object());
        return;
    }
    if (!e)
        e = load_restricted(c->store, &restricted);
    if (e) {
        reply_err(c, e);
        json_decref(agent);
        return;
    }
    reply_json(c, 200, show_restricted(restricted, agent));
    json_decref(restricted);
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
    struct provision_entry entry = {
        .request_id = c->request->id,
        .agent = c->request->params[0],
        .fields = fields,
        .failed = json_integer_value(json_object_get(fields, "exit_code")) != 0};
    enum err e = store_provision_add(c->store, &entry);
    json_decref(fields);
    if (e == ERR_NOT_FOUND)
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
