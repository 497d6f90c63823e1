/* The page of a queue: who serves it, what waits in it, how long. */
#include "worker/encoding/json_string.h"
#include "worker/jobs/percentiles.h"
#include "worker/web/agent_row.h"
#include "worker/web/job_row.h"
#include "worker/web/lab.h"
#include "worker/web/page.h"
#include "worker/web/values.h"

handler_fn h_page_queue;

#define WAITING_MAX 50 /* jobs shown of each kind */
#define RUNNING_MAX 50
#define ENDED_MAX   20

/* What the page shows, beside its agents. */
struct parts {
    json_t *waiting, *running, *ended; /* owned: rows */
    json_t *waits;                     /* owned: [{percentile, span}] */
};

static bool waits_of(void *arg, struct text name, json_t *waits)
{
    (void)name;
    json_t **all = arg;
    json_decref(*all);
    *all = waits;
    return true;
}

static enum err read_waits(struct store *s, struct text queue, json_t *list)
{
    json_t *waits = NULL, *shown, *seconds;
    struct name_walk walk = {.take = waits_of, .arg = &waits};
    enum err e = store_wait_times(s, &queue, 1, &walk);
    const char *percent;

    shown = percentiles(waits);
    json_object_foreach (shown, percent, seconds)
        json_array_append_new(list, json_pack("{s:s, s:o}", "percent", percent, "span",
                                              page_span((int64_t)json_number_value(seconds))));
    json_decref(shown);
    json_decref(waits);
    return e;
}

/* The rows of jobs; numbered from 1 on with `position`. Takes the reference. */
static void add_rows(json_t *rows, json_t *jobs, bool numbered)
{
    json_t *job;
    size_t i;

    json_array_foreach (jobs, i, job) {
        json_t *row = job_row(job);
        if (numbered)
            json_object_set_new(row, "position", json_integer((json_int_t)i + 1));
        json_array_append_new(rows, row);
    }
    json_decref(jobs);
}

/* The jobs of a queue that an agent has, or that have ended. */
static enum err read_states(struct store *s, struct text queue, bool over, json_t *rows)
{
    json_t *states = json_array(), *jobs = NULL;
    struct job_filter f = {.queue = queue, .which = SEARCH_LISTED, .states = states};
    bool more;

#define STATE(name, rank, ends)                                                                    \
    if ((ends) == over && (rank) > 0)                                                              \
        json_array_append_new(states, json_string(name));
#include "worker/jobs/states.def"
#undef STATE
    enum err e = jobs_read(s, &f, over ? ENDED_MAX : RUNNING_MAX, &jobs, &more);
    add_rows(rows, jobs, false);
    json_decref(states);
    return e;
}

static enum err read_jobs(struct store *s, struct text queue, struct parts *p)
{
    json_t *next = NULL;
    enum err e = jobs_read_next(s, queue, WAITING_MAX, &next);

    add_rows(p->waiting, next, true);
    if (!e)
        e = read_states(s, queue, false, p->running);
    return e ? e : read_states(s, queue, true, p->ended);
}

/* Who may submit to the queue, of its agents; a new reference. */
static json_t *owners_of(const json_t *agents, struct text queue)
{
    const json_t *first = json_object_get(json_array_get(agents, 0), "restricted_to");
    json_t *owners = json_object_getn(first, queue.s, queue.len);

    return owners ? json_incref(owners) : json_array();
}

static enum err answer(struct call *c, const struct lab *lab, struct parts *p)
{
    struct text queue = c->request->params[0];
    json_t *row = lab_find(lab->queues, queue), *owners = owners_of(lab->agents, queue);
    json_t *rows = NULL;
    enum err e = agent_rows(c->store, lab->agents, &rows);

    if (!e)
        e = read_jobs(c->store, queue, p);
    if (!e)
        e = read_waits(c->store, queue, p->waits);
    if (!e)
        page_reply(
            c, 200,
            json_pack("{s:o, s:o, s:b, s:O, s:b, s:O, s:b, s:O, s:b, s:O, s:b, s:O, s:b, s:O, s:b}",
                      "title", page_text(queue), "queue", row ? json_incref(row) : json_null(),
                      "has_owners", json_array_size(owners) > 0, "owners", owners, "has_agents",
                      json_array_size(rows) > 0, "agents", rows, "has_waiting",
                      json_array_size(p->waiting) > 0, "waiting", p->waiting, "has_running",
                      json_array_size(p->running) > 0, "running", p->running, "has_ended",
                      json_array_size(p->ended) > 0, "ended", p->ended, "has_waits",
                      json_array_size(p->waits) > 0, "waits", p->waits, "has_more",
                      json_integer_value(json_object_get(row, "waiting")) > WAITING_MAX));
    json_decref(owners);
    json_decref(rows);
    return e;
}

void h_page_queue(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct parts p = {.waiting = json_array(),
                      .running = json_array(),
                      .ended = json_array(),
                      .waits = json_array()};
    struct lab lab;
    enum err e = lab_read(c, (struct lab_wanted){.queue = c->request->params[0]}, &lab);

    (void)n;
    if (!e)
        e = answer(c, &lab, &p);
    if (e)
        reply_err(c, e);
    json_decref(p.waiting);
    json_decref(p.running);
    json_decref(p.ended);
    json_decref(p.waits);
    lab_free(&lab);
}
