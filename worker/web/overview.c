/* The front page: the lab at a glance, and what needs attention. */
#include "common/op.h"
#include "worker/encoding/json_string.h"
#include "worker/web/lab.h"
#include "worker/web/page.h"
#include "worker/web/values.h"
#include "worker/web/visitor.h"

#include <string.h>

handler_fn h_page_overview;

#define LONGEST_MAX   5  /* queues with the longest waits */
#define ATTENTION_MAX 20 /* of each kind; the lists have the others */
#define STREAK_BAD    3  /* failed provisionings in a row */

static json_t *member(const char *name, int64_t count, json_t *url)
{
    return json_pack("{s:s, s:I, s:o}", "name", name, "count", (json_int_t)count, "url", url);
}

static json_t *agents_by_group(const json_t *agents)
{
    int64_t counts[AGENT_GROUPS] = {0};
    json_t *all = json_array(), *agent;
    size_t i;

    json_array_foreach (agents, i, agent)
        counts[agent_group_of(agent)]++;
    for (int g = 0; g < AGENT_GROUPS; g++) {
        struct text name = {agent_group_names[g], strlen(agent_group_names[g])};
        json_array_append_new(all, member(name.s, counts[g], page_url("/agents?state=", name, "")));
    }
    return all;
}

/* Jobs that wait, and those that agents have, by state. */
static json_t *jobs_by_state(const struct lab *lab)
{
    json_t *all = json_array(), *row, *count;
    int64_t waiting = 0;
    const char *state;
    size_t i;

    json_array_foreach (lab->queues, i, row)
        waiting += json_integer_value(json_object_get(row, "waiting"));
    json_array_append_new(all, member("waiting", waiting, json_string("/jobs?state=waiting")));
    json_object_foreach (lab->states, state, count) {
        struct text name = {state, strlen(state)};
        json_array_append_new(
            all, member(state, json_integer_value(count), page_url("/jobs?state=", name, "")));
    }
    return all;
}

static int64_t oldest_of(const json_t *row)
{
    return json_integer_value(json_object_get(row, "oldest_ms"));
}

/* The queues whose oldest job has waited longest. */
static json_t *longest(const json_t *queues)
{
    json_t *all = json_array(), *row;
    size_t i, at;

    json_array_foreach (queues, i, row) {
        if (!oldest_of(row))
            continue;
        for (at = json_array_size(all); at > 0; at--)
            if (oldest_of(json_array_get(all, at - 1)) <= oldest_of(row))
                break;
        if (at < LONGEST_MAX)
            json_array_insert(all, at, row);
        if (json_array_size(all) > LONGEST_MAX)
            json_array_remove(all, LONGEST_MAX);
    }
    return all;
}

static bool is_failing(const json_t *agent)
{
    return agent_streak_of(agent) <= -STREAK_BAD;
}

static bool is_away(const json_t *agent)
{
    return agent_group_of(agent) == AGENT_OFFLINE || agent_group_of(agent) == AGENT_MAINTENANCE;
}

/* What an agent's line says. */
static json_t *agent_line(const json_t *agent)
{
    const json_t *name = json_object_get(agent, "name");
    bool silent = json_is_true(json_object_get(agent, "silent"));

    return json_pack("{s:o, s:o, s:b, s:o, s:b, s:o, s:o}", "name", page_value(name), "url",
                     page_url("/agents/", json_string_text(name), ""), "is_offline",
                     agent_group_of(agent) == AGENT_OFFLINE, "comment",
                     page_short(json_object_get(agent, "comment"), CELL_MAX), "silent", silent,
                     "since", json_incref(json_object_get(agent, "updated")), "failures",
                     json_integer(-agent_streak_of(agent)));
}

/* A list of the agents that fit. */
static json_t *agents_that(bool (*fits)(const json_t *), const json_t *agents)
{
    json_t *all = json_array(), *agent;
    size_t i;

    json_array_foreach (agents, i, agent)
        if (fits(agent) && json_array_size(all) < ATTENTION_MAX)
            json_array_append_new(all, agent_line(agent));
    return all;
}

static json_t *paused(const json_t *queues)
{
    json_t *all = json_array(), *row;
    size_t i;

    json_array_foreach (queues, i, row)
        if (!json_is_null(json_object_get(row, "paused")) && json_array_size(all) < ATTENTION_MAX)
            json_array_append(all, row);
    return all;
}

/* `dead`: events that were given up. */
static json_t *model(const struct lab *lab, int64_t dead)
{
    json_t *waits = longest(lab->queues), *away = agents_that(is_away, lab->agents);
    json_t *failing = agents_that(is_failing, lab->agents), *held = paused(lab->queues);
    size_t lines = json_array_size(away) + json_array_size(failing) + json_array_size(held);

    return json_pack("{s:s, s:b, s:o, s:o, s:b, s:o, s:b, s:o, s:b, s:o, s:b, s:o, s:o, s:b}",
                     "title", "Overview", "is_open", true, "agents", agents_by_group(lab->agents),
                     "jobs", jobs_by_state(lab), "has_longest", json_array_size(waits) > 0,
                     "longest", waits, "has_away", json_array_size(away) > 0, "away", away,
                     "has_failing", json_array_size(failing) > 0, "failing", failing, "has_paused",
                     json_array_size(held) > 0, "paused", held, "dead_letters",
                     dead ? json_integer(dead) : json_null(), "is_quiet", !lines && !dead);
}

/* Events that were given up, for who may send them again; 0 for others. */
static enum err count_dead(const struct call *c, int64_t *ret)
{
    struct outbox_backlog backlog = {0};
    enum err e = visitor_may(c, OP_PAGE_LETTERS) ? store_outbox_count(c->store, &backlog) : ERR_OK;

    *ret = backlog.dead;
    return e;
}

void h_page_overview(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct lab lab;

    (void)n;
    if (!page_is_open(c)) {
        page_reply(c, 200, json_pack("{s:s, s:b}", "title", "Overview", "is_open", false));
        return;
    }
    int64_t dead = 0;
    enum err e = lab_read(c, (struct lab_wanted){0}, &lab);
    if (!e)
        e = count_dead(c, &dead);
    if (e)
        reply_err(c, e);
    else
        page_reply(c, 200, model(&lab, dead));
    lab_free(&lab);
}
