/* Agents as they are shown. */
#include "worker/handlers/agents_view.h"

#include "worker/handlers/holds.h"

json_t *agent_view_show(void *arg, json_t *agent)
{
    const struct agent_view *view = arg;
    json_t *shown = json_object(), *owners, *queue;
    size_t i;

    json_array_foreach (json_object_get(agent, "queues"), i, queue) {
        const char *name = json_string_value(queue);
        size_t len = json_string_length(queue);
        if (name && (owners = json_object_getn(view->restricted, name, len)))
            json_object_setn(shown, name, len, owners);
    }
    json_object_set_new(agent, "restricted_to", shown);
    date_show(view->dates, agent, "updated_at");
    agent_mode_show(view->holds, agent);
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

enum err agent_view_load(struct store *s, struct agent_view *ret)
{
    enum err e = load_restricted(s, &ret->restricted);

    return e ? e : holds_load(s, HOLD_AGENT, &ret->holds);
}

void agent_view_free(struct agent_view *view)
{
    json_decref(view->restricted);
    json_decref(view->holds);
}
