/* Agents as they are shown. */
#include "worker/handlers/agents_view.h"

#include "worker/auth/restrictions.h"
#include "worker/handlers/holds.h"

json_t *agent_view_show(void *arg, json_t *agent)
{
    const struct agent_view *view = arg;
    json_t *shown = json_object(), *owners, *queue;
    size_t i;

    json_array_foreach (json_object_get(agent, "queues"), i, queue) {
        const char *name = json_string_value(queue);
        size_t len = json_string_length(queue);
        if (name && (owners = json_object_getn(view->restricted, name, len)) &&
            json_array_size(owners))
            json_object_setn(shown, name, len, owners);
    }
    json_object_set_new(agent, "restricted_to", shown);
    date_show(view->dates, agent, "updated_at");
    agent_mode_show(view->cfg, view->holds, agent);
    return agent;
}

enum err agent_view_load(struct call *c, struct text agent, struct agent_view *ret)
{
    enum err e = restrictions_get(c->store, &ret->restricted);

    ret->cfg = c->cfg;
    return e ? e : holds_load(c->store, HOLD_AGENT, agent, &ret->holds);
}

void agent_view_free(struct agent_view *view)
{
    json_decref(view->holds);
}
