#include "worker/events/online.h"

#include "worker/encoding/json_string.h"

#include <string.h>

/* A walk of the agents of a queue up to the first that is online. */
struct search {
    struct queue_agents *found;
    json_t *holds;
};

static bool is_online(const struct search *s, struct text name, const json_t *agent)
{
    static const char *const away[] = {"offline", "maintenance", "restart"};
    const char *state = json_string_value(json_object_get(agent, "state"));

    for (size_t i = 0; state && i < sizeof away / sizeof *away; i++)
        if (strcmp(state, away[i]) == 0)
            return false;
    return !json_object_getn(s->holds, name.s ? name.s : "", name.len) &&
           (!json_is_true(json_object_get(agent, "silent")) ||
            json_string_length(json_object_get(agent, "job_id")));
}

static bool is_one_of(const json_t *names, struct text name)
{
    const json_t *one;
    size_t i;

    json_array_foreach ((json_t *)(uintptr_t)names, i, one)
        if (text_equal(name, json_string_text(one)))
            return true;
    return false;
}

static bool look_at(void *arg, struct text name, json_t *agent)
{
    struct search *s = arg;

    if (!is_one_of(s->found->except, name)) {
        s->found->served = true;
        s->found->online = is_online(s, name, agent);
    }
    json_decref(agent);
    return !s->found->online;
}

enum err online_look(struct store *s, struct text queue, struct queue_agents *q)
{
    struct hold_look any = {.kind = HOLD_AGENT};
    struct search search = {.found = q};
    struct name_walk walk = {.take = look_at, .arg = &search};
    enum err e = store_holds_find(s, &any, 1);

    q->served = q->online = false;
    if (!e && any.held)
        e = store_holds_list(s, HOLD_AGENT, (struct text){0}, &search.holds);
    if (!e)
        e = store_agents_list(s, queue, &walk);
    json_decref(search.holds);
    return e;
}
