/* The page of a queue: who serves it, what waits in it, how long. */
#include "common/mem.h"
#include "common/op.h"
#include "worker/encoding/json_string.h"
#include "worker/jobs/percentiles.h"
#include "worker/web/agent_row.h"
#include "worker/web/chart.h"
#include "worker/web/job_row.h"
#include "worker/web/lab.h"
#include "worker/web/page.h"
#include "worker/web/values.h"
#include "worker/web/visitor.h"

#include <stdlib.h>

handler_fn h_page_queue;

#define WAITING_MAX 50 /* jobs shown of each kind */
#define RUNNING_MAX 50
#define ENDED_MAX   20

/* What the page shows, beside its agents. */
struct parts {
    json_t *waiting, *running, *ended; /* owned: rows */
    json_t *waits;                     /* owned: [{percent, span, seconds, width}] */
    json_t *depth;                     /* owned: chart_depth() */
    json_t *images;                    /* owned: [{name, url}] */
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
        json_array_append_new(list, json_pack("{s:s, s:o, s:I}", "percent", percent, "span",
                                              page_span((int64_t)json_number_value(seconds)),
                                              "seconds", (json_int_t)json_number_value(seconds)));
    chart_bars(list);
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

/* `waiting`: how many wait now. */
static enum err read_depth(struct store *s, struct text queue, int64_t waiting, json_t **ret)
{
    struct job_wait *waits = mem_alloc(JOB_WAITS_MAX * sizeof *waits);
    int64_t now = store_now_ms(s);
    size_t n = 0;
    enum err e = store_queue_times(s, queue, now - CHART_WAITS_MS, waits, &n);

    if (!e)
        *ret = chart_depth(waits, n, n == JOB_WAITS_MAX, waiting, now);
    free(waits);
    return e;
}

/* Images, each with the address of a form that reserves an agent with it. */
static enum err read_images(struct store *s, struct text queue, json_t *list)
{
    json_t *images = NULL, *value;
    const char *name;
    size_t len;
    enum err e = store_images_get(s, queue, &images);

    json_object_keylen_foreach(images, name, len, value)
    {
        struct text image = {name, len};
        json_t *url = page_url("/jobs/new?queue=", queue, "&reserve=1&image=");
        json_array_append_new(list, json_pack("{s:o, s:o}", "name", page_text(image), "url",
                                              page_url(json_string_value(url), image, "")));
        json_decref(url);
    }
    json_decref(images);
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

/* The address behind the button that pauses or resumes the queue; null: it is the other one's turn,
 * or the visitor may not. */
static json_t *hold_url(const struct call *c, const json_t *row, bool resume)
{
    bool paused = json_is_object(json_object_get(row, "paused"));

    return paused == resume && visitor_may(c, OP_WEB_QUEUE_PAUSE)
               ? page_url("/queues/", c->request->params[0], "/pause")
               : json_null();
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
        e = read_images(c->store, queue, p->images);
    if (!e)
        e = read_depth(c->store, queue, json_integer_value(json_object_get(row, "waiting")),
                       &p->depth);
    if (!e)
        page_reply(
            c, 200,
            json_pack("{s:o, s:o, s:b, s:O, s:b, s:O, s:b, s:O, s:b, s:O, s:b, s:O, s:b, "
                      "s:O, s:b, s:b, s:O, s:O, s:o, s:o, s:o}",
                      "title", page_text(queue), "queue", row ? json_incref(row) : json_null(),
                      "has_owners", json_array_size(owners) > 0, "owners", owners, "has_agents",
                      json_array_size(rows) > 0, "agents", rows, "has_waiting",
                      json_array_size(p->waiting) > 0, "waiting", p->waiting, "has_running",
                      json_array_size(p->running) > 0, "running", p->running, "has_ended",
                      json_array_size(p->ended) > 0, "ended", p->ended, "has_waits",
                      json_array_size(p->waits) > 0, "waits", p->waits, "has_more",
                      json_integer_value(json_object_get(row, "waiting")) > WAITING_MAX,
                      "has_images", json_array_size(p->images) > 0, "images", p->images, "depth",
                      p->depth, "dashboard", page_dashboard(c, "queue", queue), "pause_url",
                      hold_url(c, row, false), "resume_url", hold_url(c, row, true)));
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
                      .waits = json_array(),
                      .images = json_array()};
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
    json_decref(p.depth);
    json_decref(p.images);
    lab_free(&lab);
}
