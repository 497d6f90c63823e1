#include "worker/store/store.h"

static bool has(const json_t *agent, const json_t *members)
{
    const char *name;
    json_t *value;

    json_object_foreach ((json_t *)(uintptr_t)members, name, value)
        if (!json_equal(json_object_get(agent, name), value))
            return false;
    return true;
}

bool agent_put_is_known(const json_t *agent, const struct agent_put *a)
{
    return has(agent, a->fields) && has(agent, a->extra);
}
