#include "worker/handlers/unknown_queue.h"

#include "worker/encoding/json_string.h"
#include "worker/handlers/holds.h"

#include <string.h>

#define SILENT_MS (25 * 3600 * (int64_t)1000) /* idle agents post their state once a day */

static const char *const choices[] = {"accept", "refuse", "offline"}; /* enum unknown_queues */
enum { CHOICES = sizeof choices / sizeof *choices };

/* The position of the field's value; CHOICES: it is none of them. */
static int choice_of(const json_t *field)
{
    int i = 0;

    while (i < CHOICES &&
           !(json_is_string(field) && strcmp(json_string_value(field), choices[i]) == 0))
        i++;
    return i;
}

bool unknown_queue_is_fine(struct call *c, const json_t *data)
{
    const json_t *field = json_object_get(data, UNKNOWN_QUEUE_FIELD);

    if (!field || choice_of(field) < CHOICES)
        return true;
    reply_invalid(
        c, json_pack("{s:[s]}", UNKNOWN_QUEUE_FIELD, "Must be one of: accept, refuse, offline."));
    return false;
}

/* A walk of the agents of a queue up to the first that is online. */
struct search {
    const json_t *holds;
    int64_t now_ms;
    bool served, online;
};

static bool is_online(const struct search *s, json_t *agent)
{
    agent_mode_show(s->holds, agent);
    const char *state = json_string_value(json_object_get(agent, "state"));
    const json_t *updated = json_object_get(agent, "updated_at"); /* ms; of others, anything */
    int64_t at_ms = json_is_integer(updated) ? json_integer_value(updated) : s->now_ms;

    return s->now_ms - at_ms < SILENT_MS &&
           !(state && (strcmp(state, "offline") == 0 || strcmp(state, "maintenance") == 0 ||
                       strcmp(state, "restart") == 0));
}

static bool look_at(void *arg, struct text name, json_t *agent)
{
    struct search *s = arg;

    (void)name;
    s->served = true;
    s->online = is_online(s, agent);
    json_decref(agent);
    return !s->online;
}

static enum err look(struct call *c, struct text queue, struct search *ret)
{
    json_t *holds = NULL;
    enum err e = holds_load(c->store, HOLD_AGENT, (struct text){0}, &holds);

    *ret = (struct search){.holds = holds, .now_ms = store_now_ms(c->store)};
    struct name_walk walk = {.take = look_at, .arg = ret};
    if (!e)
        e = store_agents_list(c->store, queue, &walk);
    json_decref(holds);
    return e;
}

static bool is_there(struct call *c, const char *job_id)
{
    struct job_read job = {.job_id = {job_id, strlen(job_id)}};

    if (store_jobs_get(c->store, &job, 1) || job.err)
        return false;
    json_decref(job.value);
    return true;
}

bool unknown_queue_takes(struct call *c, const json_t *data, const char *job_id)
{
    const json_t *field = json_object_get(data, UNKNOWN_QUEUE_FIELD);
    const json_t *name = json_object_get(data, "job_queue");
    struct text queue = json_string_text(name);
    int choice = field ? choice_of(field) : c->cfg->unknown_queues;
    struct search s;

    if (choice == UNKNOWN_QUEUES_ACCEPT)
        return true;
    enum err e = look(c, queue, &s);
    if (e) {
        reply_err(c, e);
        return false;
    }
    if (s.online || (s.served && choice == UNKNOWN_QUEUES_REFUSE) || is_there(c, job_id))
        return true;
    if (s.served)
        reply_error(c, 422, "No agent that serves the queue '%.*s' is online", (int)queue.len,
                    queue.s);
    else
        reply_error(c, 422, "No agent serves the queue '%.*s'", (int)queue.len, queue.s);
    return false;
}
