/* The page of an agent. */
#include "common/op.h"
#include "worker/encoding/json_string.h"
#include "worker/http/query.h"
#include "worker/validation/fieldtypes.h"
#include "worker/web/agent_row.h"
#include "worker/web/chart.h"
#include "worker/web/job_row.h"
#include "worker/web/lab.h"
#include "worker/web/page.h"
#include "worker/web/values.h"
#include "worker/web/visitor.h"

#include <stdio.h>

handler_fn h_page_agent;

#define JOBS_MAX 50
#define TEXT_MAX 10000 /* bytes of a line of the log, of a comment, ... */
#define DAY_MS   ((int64_t)24 * 3600 * 1000)
#define DAY_SIZE 11 /* YYYY-MM-DD */

/* ---- provisionings ---- */

/* Days, both included. */
struct days {
    int64_t from_ms, to_ms; /* begin of the first, end of the last */
    bool bad;               /* one that was asked for is no date */
};

/* The begin of the day that a parameter names; `otherwise` where there is none. */
static int64_t day_of(const struct call *c, const char *name, int64_t otherwise, bool *ret_bad)
{
    char date[CLOCK_TEXT_SIZE];
    struct text day = {NULL, 0};
    int64_t ms = otherwise;

    query_first(c->request, name, &day);
    int len = snprintf(date, sizeof date, "%.*sT00:00:00Z", (int)(day.len < 10 ? day.len : 10),
                       day.s ? day.s : "");
    bool fine = day.len == DAY_SIZE - 1 && datetime_from_text(date, (size_t)len, &ms);
    *ret_bad = *ret_bad || (day.len && !fine);
    return fine ? ms : otherwise;
}

/* The days asked for, else yesterday and today. */
static struct days days_of(const struct call *c)
{
    int64_t now = store_now_ms(c->store), today = now - now % DAY_MS;
    struct days d = {0};

    d.from_ms = day_of(c, "start", today - DAY_MS, &d.bad);
    d.to_ms = day_of(c, "stop", today, &d.bad) + DAY_MS;
    return d;
}

static json_t *date_of(int64_t ms)
{
    char date[CLOCK_TEXT_SIZE];

    clock_rfc3339(ms, date);
    return json_stringn(date, DAY_SIZE - 1);
}

static json_t *provision_row(const json_t *entry)
{
    const json_t *id = json_object_get(entry, "job_id"),
                 *code = json_object_get(entry, "exit_code");
    struct text text = json_string_text(id);

    return json_pack("{s:o, s:o, s:o, s:o, s:b, s:o}", "finished",
                     page_time_of(json_object_get(entry, "timestamp")), "job_id", page_value(id),
                     "job_url", text.len ? page_url("/jobs/", text, "") : json_null(), "code",
                     page_value(code), "failed", json_integer_value(code) != 0, "detail",
                     page_short(json_object_get(entry, "detail"), TEXT_MAX));
}

/* {start, stop, is_bad, rate, has_entries, entries, by_day} of the days, newest first. */
static json_t *provisionings(const json_t *log, const struct days *d)
{
    json_t *rows = json_array();
    int passed = 0;

    for (size_t i = json_array_size(log); i-- > 0;) {
        const json_t *entry = json_array_get(log, i);
        int64_t ms = json_integer_value(json_object_get(entry, "timestamp"));
        if (ms < d->from_ms || ms >= d->to_ms)
            continue;
        passed += json_integer_value(json_object_get(entry, "exit_code")) == 0;
        json_array_append_new(rows, provision_row(entry));
    }
    int n = (int)json_array_size(rows);
    return json_pack("{s:o, s:o, s:b, s:i, s:b, s:o, s:o}", "start", date_of(d->from_ms), "stop",
                     date_of(d->to_ms - DAY_MS), "is_bad", d->bad, "rate", n ? passed * 100 / n : 0,
                     "has_entries", n > 0, "entries", rows, "by_day", chart_provisions(log));
}

/* ---- queues ---- */

static json_t *texts_of(const json_t *list)
{
    json_t *all = json_array(), *text;
    size_t i;

    json_array_foreach (list, i, text)
        json_array_append_new(all,
                              json_pack("{s:o, s:b}", "name", page_value(text), "first", i == 0));
    return all;
}

/* Rows of the agent's queues, in its order, with who may submit to them. */
static json_t *queues_of(const json_t *agent, const json_t *queues)
{
    const json_t *restricted = json_object_get(agent, "restricted_to");
    json_t *all = json_array(), *queue;
    size_t i;

    json_array_foreach (json_object_get(agent, "queues"), i, queue) {
        struct text name = json_string_text(queue);
        json_t *row = name.s ? lab_find(queues, name) : NULL;
        if (!row)
            continue;
        json_t *owners = texts_of(json_object_getn(restricted, name.s, name.len));
        row = json_copy(row);
        json_object_set_new(row, "has_owners", json_boolean(json_array_size(owners)));
        json_object_set_new(row, "owners", owners);
        json_array_append_new(all, row);
    }
    return all;
}

/* ---- the page ---- */

/* What the page shows beside its agent. */
struct parts {
    json_t *rows, *log, *provision_log, *jobs; /* owned */
    json_t *timeline;                          /* owned: chart_timeline() */
    bool more;                                 /* the agent has had other jobs */
};

static enum err read_parts(struct call *c, json_t *agent, struct parts *p)
{
    struct text name = c->request->params[0];
    struct job_filter mine = {.agent = name};
    json_t *one = json_pack("[O]", agent), *jobs = NULL, *job;
    size_t i;
    enum err e = agent_rows(c->store, one, &p->rows);

    if (!e)
        e = store_agent_log(c->store, name, &p->log);
    if (!e)
        e = store_provision_list(c->store, name, &p->provision_log);
    if (!e)
        e = jobs_read(c->store, &mine, JOBS_MAX, &jobs, &p->more);
    p->jobs = json_array();
    json_array_foreach (jobs, i, job)
        json_array_append_new(p->jobs, job_row(job));
    p->timeline = chart_timeline(jobs, p->more, store_now_ms(c->store));
    json_decref(jobs);
    json_decref(one);
    return e;
}

/* Lines of the log; lists of old servers may hold anything. */
static json_t *lines_of(const json_t *log)
{
    json_t *all = json_array(), *line;
    size_t i;

    json_array_foreach (log, i, line)
        json_array_append_new(all, page_short(line, TEXT_MAX));
    return all;
}

/* The agent's row, with facts that only its page shows, or shows whole. */
static json_t *facts_of(const json_t *agent, json_t *row)
{
    static const char *const names[] = {"comment", "identifier", "mode", "mode_by", "mode_until"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        json_object_set_new(row, names[i], page_short(json_object_get(agent, names[i]), TEXT_MAX));
    return row;
}

static json_t *model(struct call *c, const struct lab *lab, const json_t *agent,
                     const struct parts *p)
{
    struct days days = days_of(c);
    json_t *queues = queues_of(agent, lab->queues), *lines = lines_of(p->log);

    return json_pack(
        "{s:o, s:O, s:b, s:o, s:o, s:b, s:O, s:b, s:b, s:o, s:O, s:o, s:o}", "title",
        page_text(c->request->params[0]), "agent", facts_of(agent, json_array_get(p->rows, 0)),
        "has_queues", json_array_size(queues) > 0, "queues", queues, "provisionings",
        provisionings(p->provision_log, &days), "has_jobs", json_array_size(p->jobs) > 0, "jobs",
        p->jobs, "has_more_jobs", p->more, "has_log", json_array_size(lines) > 0, "log", lines,
        "timeline", p->timeline, "dashboard", page_dashboard(c, "agent", c->request->params[0]),
        "mode_url",
        visitor_may(c, OP_WEB_AGENT_MODE) ? page_url("/agents/", c->request->params[0], "/mode")
                                          : json_null());
}

static enum err answer(struct call *c, const struct lab *lab, json_t *agent)
{
    struct parts p = {0};
    enum err e = read_parts(c, agent, &p);

    if (!e)
        page_reply(c, 200, model(c, lab, agent, &p));
    json_decref(p.rows);
    json_decref(p.log);
    json_decref(p.provision_log);
    json_decref(p.jobs);
    json_decref(p.timeline);
    return e;
}

void h_page_agent(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct lab lab;
    enum err e = lab_read(c, (struct lab_wanted){.agent = c->request->params[0]}, &lab);

    (void)n;
    if (!e)
        e = answer(c, &lab, json_array_get(lab.agents, 0));
    if (e == ERR_NOT_FOUND)
        page_not_found(c, "Agent", c->request->params[0]);
    else if (e)
        reply_err(c, e);
    lab_free(&lab);
}
