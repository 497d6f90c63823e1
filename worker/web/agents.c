/* The page of all agents. */
#include "worker/encoding/json_string.h"
#include "worker/http/query.h"
#include "worker/web/agent_row.h"
#include "worker/web/lab.h"
#include "worker/web/page.h"
#include "worker/web/rows.h"
#include "worker/web/values.h"

#include <string.h>

handler_fn h_page_agents;

#define SHOWN_MAX 200 /* rows of a page */

static const char *const searched[] = {"name",    "state",          "location",
                                       "comment", "provision_type", "queues",
                                       "job_id",  "submitted_by",   NULL};
static const struct rows_sort sorts[] = {{"streak", "streak", "agentsOutcomeHeader"},
                                         {"name", "name", "agentsNameHeader"},
                                         {"state", "state", "agentsStateHeader"},
                                         {"location", "location", "agentsLocationHeader"},
                                         {"type", "provision_type", NULL},
                                         {"job", "job_id", "agentsJobIdHeader"},
                                         {"submitter", "submitted_by", NULL},
                                         {"updated", "updated_at", "agentsUpdatedAtHeader"},
                                         {0}};

/* Whether a parameter of the query, unless it is empty, is the value or one of its members. */
static bool is_wanted(const struct call *c, const char *name, const json_t *value)
{
    struct text wanted = {NULL, 0};
    json_t *member;
    size_t i;

    if (!query_first(c->request, name, &wanted) || !wanted.len)
        return true;
    json_array_foreach (value, i, member)
        if (json_is_string(member) && text_equal(json_string_text(member), wanted))
            return true;
    return json_is_string(value) && text_equal(json_string_text(value), wanted);
}

/* Whether the agent's state, or its group, is one of those asked for. */
static bool has_state(const json_t *states, const json_t *agent)
{
    struct text own = json_string_text(json_object_get(agent, "state"));
    const char *group = agent_group_names[agent_group_of(agent)];
    bool any = true;
    json_t *state;
    size_t i;

    json_array_foreach (states, i, state) {
        struct text wanted = json_string_text(state);
        if (wanted.len && (text_is(wanted, group) || text_equal(wanted, own)))
            return true;
        any = any && !wanted.len;
    }
    return any;
}

/* The agents that the filters want. */
static json_t *filtered(const struct call *c, const json_t *agents)
{
    json_t *all = json_array(), *states = query_array(c->request, "state"), *agent;
    size_t i;

    json_array_foreach (agents, i, agent) {
        if (!has_state(states, agent) || !is_wanted(c, "queue", json_object_get(agent, "queues")) ||
            !is_wanted(c, "location", json_object_get(agent, "location")) ||
            !is_wanted(c, "type", json_object_get(agent, "provision_type")))
            continue;
        int64_t streak = agent_streak_of(agent);
        json_object_set_new(agent, "streak", streak ? json_integer(streak) : json_null());
        json_array_append(all, agent);
    }
    json_decref(states);
    return all;
}

/* How many agents there are in each group, with the address that shows these alone. */
static json_t *groups_of(const struct call *c, const json_t *agents)
{
    size_t counts[AGENT_GROUPS] = {0}, i;
    struct text wanted = {NULL, 0};
    json_t *all = json_array(), *agent;

    query_first(c->request, "state", &wanted);
    json_array_foreach (agents, i, agent)
        counts[agent_group_of(agent)]++;
    for (int g = 0; g < AGENT_GROUPS; g++)
        json_array_append_new(all, json_pack("{s:s, s:I, s:o, s:b}", "name", agent_group_names[g],
                                             "count", (json_int_t)counts[g], "url",
                                             rows_url(c, "state", agent_group_names[g]), "current",
                                             text_is(wanted, agent_group_names[g])));
    return all;
}

/* The fields of the form as they are filled in. *ret_any: one is. */
static json_t *form_of(const struct call *c, bool *ret_any)
{
    static const char *const names[] = {"search", "state", "queue", "location", "type"};
    json_t *form = json_object();

    *ret_any = false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct text value = {NULL, 0};
        query_first(c->request, names[i], &value);
        *ret_any = *ret_any || value.len;
        json_object_set_new(form, names[i], page_text(value));
    }
    return form;
}

static void answer(struct call *c, const struct lab *lab)
{
    json_t *wanted = filtered(c, lab->agents), *shown = NULL;
    bool filters;
    json_t *form = form_of(c, &filters);
    struct rows rows;

    if (rows_choose(c, wanted, searched, sorts, SHOWN_MAX, &rows)) {
        enum err e = agent_rows(c->store, rows.shown, &shown);
        if (e)
            reply_err(c, e);
        else
            page_reply(c, 200,
                       json_pack("{s:s, s:o, s:i, s:o, s:b, s:O, s:i, s:O, s:b, s:O, s:O}", "title",
                                 "Agents", "groups", groups_of(c, lab->agents), "count",
                                 (int)json_array_size(lab->agents), "all_url",
                                 rows_url(c, "state", NULL), "has_agents",
                                 json_array_size(shown) > 0, "agents", shown, "left_out",
                                 rows.left_out, "next", rows.next, "has_filters", filters,
                                 "columns", rows.columns, "form", form));
        rows_free(&rows);
    }
    json_decref(form);
    json_decref(shown);
    json_decref(wanted);
}

void h_page_agents(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct lab lab;
    enum err e = lab_read(c, (struct lab_wanted){.without_queues = true}, &lab);

    (void)n;
    if (e)
        reply_err(c, e);
    else
        answer(c, &lab);
    lab_free(&lab);
}
