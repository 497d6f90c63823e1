#include "worker/web/agent_row.h"

#include "common/mem.h"
#include "worker/encoding/json_string.h"
#include "worker/web/job_row.h"
#include "worker/web/lab.h"
#include "worker/web/values.h"

#include <stdlib.h>

#define QUEUES_SHOWN 3

static json_t *link_of(const char *before, const json_t *name)
{
    return json_pack("{s:o, s:o}", "name", page_value(name), "url",
                     page_url(before, json_string_text(name), ""));
}

static json_t *first_queues(const json_t *queues)
{
    json_t *all = json_array(), *queue;
    size_t i;

    json_array_foreach (queues, i, queue)
        if (json_array_size(all) < QUEUES_SHOWN && json_is_string(queue))
            json_array_append_new(all, link_of("/queues/", queue));
    return all;
}

/* Provisionings in a row that went the same way; null: none. */
static json_t *streak_of(const json_t *agent)
{
    int64_t n = agent_streak_of(agent);

    return n ? json_pack("{s:b, s:I}", "failed", n < 0, "count", (json_int_t)(n < 0 ? -n : n))
             : json_null();
}

/* When the agent is free: {time, is_lease}; null: unknown, or it has no job. */
static json_t *free_of(const struct job_held *held)
{
    int64_t ms = held->reserved_ms ? held->reserved_ms : held->lease_ms;

    return held->err || !ms
               ? json_null()
               : json_pack("{s:o, s:b}", "time", page_time(ms), "is_lease", !held->reserved_ms);
}

/* Adds to the rows of agents, which have a job each or null, how long they have it. */
static enum err add_free(struct store *s, json_t *rows)
{
    struct job_held *held = mem_alloc((json_array_size(rows) + 1) * sizeof *held);
    json_t *row;
    size_t i, n = 0;

    json_array_foreach (rows, i, row) {
        const json_t *id = json_object_get(json_object_get(row, "job"), "id");
        if (id)
            held[n++] = (struct job_held){.job_id = json_string_text(id)};
    }
    enum err e = n ? store_jobs_held(s, held, n) : ERR_OK;
    n = 0;
    json_array_foreach (rows, i, row)
        if (json_is_object(json_object_get(row, "job")))
            json_object_set_new(row, "free", free_of(&held[n++]));
    free(held);
    return e;
}

static json_t *agent_row(const json_t *agent, const json_t *jobs)
{
    static const char *const classes[AGENT_GROUPS] = {"good", "busy", "bad", "warn"};
    const json_t *name = json_object_get(agent, "name"), *queues = json_object_get(agent, "queues");
    const json_t *job_id = json_object_get(agent, "job_id"),
                 *state = json_object_get(agent, "state");
    const json_t *job =
        json_object_getn(jobs, json_string_length(job_id) ? json_string_value(job_id) : "",
                         json_string_length(job_id));
    enum agent_group group = agent_group_of(agent);
    int hidden = (int)json_array_size(queues) - QUEUES_SHOWN;

    return json_pack(
        "{s:o, s:o, s:o, s:s, s:s, s:b, s:o, s:o, s:o, s:o, s:b, s:i, s:o, s:o, s:n, s:o}", "name",
        page_value(name), "url", page_url("/agents/", json_string_text(name), ""), "state",
        json_string_length(state) ? page_value(state) : json_string("unknown"), "group",
        agent_group_names[group], "class", classes[group], "silent",
        json_is_true(json_object_get(agent, "silent")), "comment",
        page_short(json_object_get(agent, "comment"), CELL_MAX), "location",
        json_string_length(json_object_get(agent, "location"))
            ? page_value(json_object_get(agent, "location"))
            : json_string("unknown"),
        "type", page_value(json_object_get(agent, "provision_type")), "queues",
        first_queues(queues), "has_more_queues", hidden > 0, "more_queues", hidden > 0 ? hidden : 0,
        "streak", streak_of(agent), "job", job ? job_row(job) : json_null(), "free", "updated",
        json_incref(json_object_get(agent, "updated")));
}

enum err agent_rows(struct store *s, const json_t *agents, json_t **ret)
{
    json_t *ids = json_array(), *jobs = NULL, *agent;
    size_t i;

    json_array_foreach (agents, i, agent)
        if (json_string_length(json_object_get(agent, "job_id")))
            json_array_append(ids, json_object_get(agent, "job_id"));
    enum err e = jobs_read_ids(s, ids, &jobs);
    if (!e) {
        *ret = json_array();
        json_array_foreach (agents, i, agent)
            json_array_append_new(*ret, agent_row(agent, jobs));
        e = add_free(s, *ret);
    }
    json_decref(ids);
    json_decref(jobs);
    return e;
}
