#include "worker/web/lab.h"

#include "common/mem.h"
#include "worker/encoding/json_string.h"
#include "worker/handlers/agents_view.h"
#include "worker/handlers/holds.h"
#include "worker/request/doc_limits.h"
#include "worker/web/values.h"

#include <stdlib.h>
#include <string.h>

#define DEPTHS_MAX      10000 /* queues whose waiting jobs are counted */
#define NAMED_MAX       100   /* queues that are counted one by one; more of them: all */
#define DESCRIPTION_MAX 2000  /* bytes shown of a description */

const char *const agent_group_names[AGENT_GROUPS] = {"idle", "busy", "offline", "maintenance"};

static bool is_text(const json_t *value, const char *text)
{
    return text_equal(json_string_text(value), (struct text){text, strlen(text)});
}

enum agent_group agent_group_of(const json_t *agent)
{
    const json_t *state = json_object_get(agent, "state");

    if (is_text(state, "maintenance") || is_text(state, "restart"))
        return AGENT_MAINTENANCE;
    if (is_text(state, "offline") || json_is_true(json_object_get(agent, "silent")))
        return AGENT_OFFLINE;
    return !json_string_length(state) || is_text(state, "waiting") ? AGENT_IDLE : AGENT_BUSY;
}

int64_t agent_streak_of(const json_t *agent)
{
    const json_t *type = json_object_get(agent, "provision_streak_type");
    int64_t n = json_integer_value(json_object_get(agent, "provision_streak_count"));

    return is_text(type, "fail") ? -n : json_string_length(type) ? n : 0;
}

/* Queues in the making. */
struct reading {
    json_t *rows; /* {NAME: row} */
    json_t *holds;
    const json_t *restricted;
};

static json_t *queue_row(const struct reading *r, struct text name)
{
    return json_pack("{s:o, s:o, s:s, s:i, s:i, s:i, s:n, s:n, s:i, s:i, s:b, s:o}", "name",
                     page_text(name), "url", page_url("/queues/", name, ""), "description", "",
                     "unfinished", 0, "waiting", 0, "running", 0, "oldest", "oldest_ms", "online",
                     0, "agents", 0, "restricted",
                     json_object_getn(r->restricted, name.s, name.len) != NULL, "paused",
                     page_hold(json_object_getn(r->holds, name.s, name.len)));
}

/* The row of a queue, made where there is none; borrowed. */
static json_t *row_of(struct reading *r, struct text name)
{
    json_t *row = json_object_getn(r->rows, name.s, name.len);

    if (row || !(row = queue_row(r, name)))
        return row;
    json_object_setn_new(r->rows, name.s, name.len, row);
    return row;
}

static void add(json_t *row, const char *key, int64_t n)
{
    json_object_set_new(row, key, json_integer(json_integer_value(json_object_get(row, key)) + n));
}

static bool take_description(void *arg, struct text name, json_t *description)
{
    struct reading *r = arg;

    json_object_set_new(row_of(r, name), "description", page_short(description, DESCRIPTION_MAX));
    json_decref(description);
    return json_object_size(r->rows) < LAB_MAX;
}

/* Agents in the making. */
struct taking {
    json_t *agents;
    size_t bytes;
};

static bool take_agent(void *arg, struct text name, json_t *agent)
{
    struct taking *t = arg;

    (void)name;
    t->bytes += doc_size_of(agent).json;
    json_array_append_new(t->agents, agent);
    return json_array_size(t->agents) < LAB_MAX && t->bytes < LAB_BYTES_MAX;
}

static void count_agent(struct reading *r, const json_t *agent)
{
    enum agent_group group = agent_group_of(agent);
    json_t *queue;
    size_t i;

    json_array_foreach (json_object_get(agent, "queues"), i, queue) {
        json_t *row = json_is_string(queue) ? row_of(r, json_string_text(queue)) : NULL;
        if (!row)
            continue;
        add(row, "agents", 1);
        add(row, "online", group == AGENT_IDLE || group == AGENT_BUSY);
    }
}

/* The wanted agents, as they are stored. */
static enum err fetch_agents(struct store *s, const struct lab_wanted *wanted, json_t *agents)
{
    struct taking taking = {.agents = agents};
    struct name_walk walk = {.take = take_agent, .arg = &taking};
    struct agent_read one = {.name = wanted->agent};

    if (!wanted->agent.s)
        return store_agents_list(s, wanted->queue, &walk);
    enum err e = store_agents_get(s, &one, 1);
    if (one.agent)
        json_array_append_new(agents, one.agent);
    return e ? e : one.err;
}

static enum err read_agents(struct call *c, struct reading *r, const struct lab_wanted *wanted,
                            json_t *agents)
{
    struct agent_view view = {.dates = DATES_ISO};
    enum err e = agent_view_load(c, wanted->agent, &view);
    json_t *agent;
    size_t i;

    if (!e)
        e = fetch_agents(c->store, wanted, agents);
    r->restricted = view.restricted;
    json_array_foreach (agents, i, agent) {
        json_object_set_new(agent, "updated", page_time_of(json_object_get(agent, "updated_at")));
        agent_view_show(&view, agent);
        if (!wanted->without_queues)
            count_agent(r, agent);
    }
    agent_view_free(&view);
    return e;
}

/* The queues to count: the wanted one, those of the wanted agent, each once; 0: all. */
static size_t name_queues(const struct lab_wanted *wanted, const json_t *own, struct text *names)
{
    size_t n = 0, i;
    json_t *name;

    if (wanted->queue.s)
        names[n++] = wanted->queue;
    if (n + json_array_size(own) > NAMED_MAX)
        return 0;
    json_array_foreach (own, i, name) {
        struct text t = json_string_text(name);
        size_t k = 0;
        while (k < n && !text_equal(names[k], t))
            k++;
        if (t.s && k == n)
            names[n++] = t;
    }
    return n;
}

/* Counts the jobs that wait. */
static enum err read_waiting(struct call *c, struct reading *r, const struct lab_wanted *wanted,
                             const json_t *agents)
{
    const json_t *own =
        wanted->agent.s ? json_object_get(json_array_get(agents, 0), "queues") : NULL;
    struct queue_depth *depths;
    struct text names[NAMED_MAX];
    size_t n = 0;

    if (wanted->agent.s && !json_array_size(own))
        return ERR_OK; /* it serves none */
    depths = mem_alloc(DEPTHS_MAX * sizeof *depths);
    enum err e = store_queue_depths(c->store, names, name_queues(wanted, own, names), depths,
                                    DEPTHS_MAX, &n);
    for (size_t i = 0; i < n; i++) {
        json_t *row = row_of(r, (struct text){depths[i].queue, depths[i].queue_len});
        add(row, "waiting", depths[i].waiting);
        add(row, "unfinished", depths[i].waiting);
        json_object_set_new(row, "oldest", page_time(depths[i].oldest_ms));
        json_object_set_new(row, "oldest_ms", json_integer(depths[i].oldest_ms));
        free(depths[i].queue);
    }
    free(depths);
    return e;
}

/* Adds the jobs that agents have, to the rows and to `states`. */
static enum err read_busy(struct call *c, struct reading *r, json_t *states)
{
    json_t *queues = NULL, *counts, *count;
    const char *name, *state;
    size_t len, state_len;
    enum err e = store_queues_busy(c->store, &queues);

    json_object_keylen_foreach(queues, name, len, counts)
    {
        json_t *row = row_of(r, (struct text){name, len});
        json_object_keylen_foreach(counts, state, state_len, count)
        {
            int64_t n = json_integer_value(count);
            int64_t sum = json_integer_value(json_object_getn(states, state, state_len));
            add(row, "running", n);
            add(row, "unfinished", n);
            json_object_setn_new(states, state, state_len, json_integer(sum + n));
        }
    }
    json_decref(queues);
    return e;
}

static int by_name(const void *a, const void *b)
{
    json_t *const *one = a, *const *two = b;
    const json_t *name = json_object_get(*one, "name"), *other = json_object_get(*two, "name");

    return text_order(json_string_text(name), json_string_text(other));
}

/* The members of an object of rows in the order of their names; takes the reference. */
static json_t *sorted(json_t *rows)
{
    size_t n = 0;
    json_t **all = mem_alloc((json_object_size(rows) + 1) * sizeof *all), *row;
    json_t *list = json_array();
    const char *name;

    json_object_foreach (rows, name, row)
        all[n++] = row;
    qsort(all, n, sizeof *all, by_name);
    for (size_t i = 0; i < n; i++)
        json_array_append(list, all[i]);
    free(all);
    json_decref(rows);
    return list;
}

static enum err read_queues(struct call *c, struct reading *r, const struct lab_wanted *wanted,
                            const struct lab *lab)
{
    struct name_walk walk = {.take = take_description, .arg = r};
    enum err e = store_queues_list(c->store, &walk);

    if (!e)
        e = read_waiting(c, r, wanted, lab->agents);
    return e ? e : read_busy(c, r, lab->states);
}

enum err lab_read(struct call *c, struct lab_wanted wanted, struct lab *ret)
{
    struct reading r = {.rows = json_object()};
    enum err e = ERR_OK;

    *ret = (struct lab){.agents = json_array(), .states = json_object()};
    if (!wanted.without_queues)
        e = holds_load(c->store, HOLD_QUEUE, (struct text){NULL, 0}, &r.holds);
    if (!e)
        e = read_agents(c, &r, &wanted, ret->agents);
    if (!e && !wanted.without_queues)
        e = read_queues(c, &r, &wanted, ret);
    ret->queues = sorted(r.rows);
    json_decref(r.holds);
    return e;
}

json_t *lab_find(const json_t *list, struct text name)
{
    json_t *member;
    size_t i;

    json_array_foreach (list, i, member)
        if (text_equal(json_string_text(json_object_get(member, "name")), name))
            return member;
    return NULL;
}

void lab_free(struct lab *l)
{
    json_decref(l->agents);
    json_decref(l->queues);
    json_decref(l->states);
}
