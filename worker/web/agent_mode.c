/* The mode of an agent, which managers set: in use or not, and why. */
#include "common/op.h"
#include "worker/request/form.h"
#include "worker/web/act.h"
#include "worker/web/page.h"
#include "worker/web/values.h"

handler_fn h_page_agent_mode, h_web_agent_mode, h_agent_put;

/* The agent of the path; NULL: answered. A new reference. */
static json_t *agent_of(struct call *c)
{
    struct agent_read read = {.name = c->request->params[0]};
    enum err e = store_agents_get(c->store, &read, 1);

    e = e ? e : read.err;
    if (e == ERR_NOT_FOUND)
        page_not_found(c, "Agent", read.name);
    else if (e)
        reply_err(c, e);
    return e ? NULL : read.agent;
}

void h_page_agent_mode(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct text name = c->request->params[0];
    json_t *agent = agent_of(c);

    (void)n;
    if (agent)
        page_reply(c, 200,
                   json_pack("{s:s, s:o, s:o}", "title", "Mode of an agent", "name",
                             page_text(name), "url", page_url("/agents/", name, "")));
    json_decref(agent);
}

void h_web_agent_mode(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct text name = c->request->params[0];
    json_t *agent = agent_of(c), *body;

    (void)n;
    if (!agent)
        return;
    json_decref(agent);
    body = act_field(c, "mode");
    if (!json_object_size(body)) {
        json_decref(body);
        reply_error(c, 422, "Choose a mode: online, maintenance, offline or restart");
        return;
    }
    json_object_update_new(body, act_field(c, "comment"));
    const struct act act = {.op = OP_AGENT_PUT, .handler = h_agent_put, .body = body};
    if (act_run(c, &act))
        page_see_other(c, page_url("/agents/", name, "?done=mode"));
}
