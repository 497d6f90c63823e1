/* The page of jobs: by age, by filters and words, page by page both ways. */
#include "worker/encoding/json_string.h"
#include "worker/handlers/jobs_query.h"
#include "worker/http/query.h"
#include "worker/jobs/outcome.h"
#include "worker/validation/job_id.h"
#include "worker/web/cancel.h"
#include "worker/web/job_row.h"
#include "worker/web/page.h"
#include "worker/web/rows.h"
#include "worker/web/values.h"

#include <stdio.h>
#include <string.h>

handler_fn h_page_jobs;

#define SHOWN_MAX 200  /* rows of a page */
#define LOOK_MAX  5000 /* jobs that a search looks at for one page */

static const struct list_filter filters[] = {
    {"state", true},      {"queue", false},  {"tag", true},   {"agent", false},
    {"submitter", false}, {"search", false}, {"sort", false}, {0}};

static const char *const searched[] = {"job_id", "name",         "job_queue", "job_state",
                                       "agent",  "submitted_by", "tags",      NULL};

/* Outcomes that are asked for as states: of jobs that their agents have completed. */
enum outcome { OUTCOME_ANY, OUTCOME_FAILED, OUTCOME_PASSED };

/* A page in the making. */
struct list {
    struct list_query q;
    struct job_filter filter;
    json_t *states, *tags; /* owned */
    enum outcome outcome;
    struct text words; /* s NULL: no search */
    bool oldest_first; /* sort=created */
    bool back;         /* the page is read from its end on: it ends where the one after it begins */
    json_t *jobs;      /* owned: rows */
    int64_t looked_to_ms; /* created_at of the last job that was looked at */
};

/* The first byte of cursors of pages that are read backwards; places of stores begin otherwise. */
#define BACK "^"

/* A form sends its empty fields, too: they are no filters. */
static void drop_empty(const struct request *from, struct request *to)
{
    *to = *from;
    to->query_len = 0;
    for (size_t i = 0; i < from->query_len; i++)
        if (from->query[i].value.len)
            to->query[to->query_len++] = from->query[i];
}

/* Takes `failed` and `passed` out of the states. */
static void take_outcome(struct list *l)
{
    for (size_t i = json_array_size(l->states); i-- > 0;) {
        struct text state = json_string_text(json_array_get(l->states, i));
        bool failed = text_is(state, "failed");
        if (!failed && !text_is(state, "passed"))
            continue;
        l->outcome = failed ? OUTCOME_FAILED : OUTCOME_PASSED;
        json_array_remove(l->states, i);
        json_array_append_new(l->states, json_string("complete"));
        json_array_append_new(l->states, json_string("completed"));
    }
}

static bool is_wanted(const struct list *l, const json_t *job)
{
    const char *phase;
    int64_t code;

    if (l->outcome != OUTCOME_ANY && outcome_failed(json_object_get(job, "status"), &phase,
                                                    &code) != (l->outcome == OUTCOME_FAILED))
        return false;
    return !l->words.s || rows_match(job, searched, l->words);
}

static bool take(void *arg, struct text name, json_t *job)
{
    struct list *l = arg;
    bool wanted = is_wanted(l, job);
    bool full = wanted && (int64_t)json_array_size(l->jobs) == l->q.limit;

    (void)name;
    if (wanted && !full) {
        json_t *row = job_row(job);
        json_object_set_new(row, "cancel_url", cancel_url(l->q.c, job));
        json_array_insert_new(l->jobs, l->back ? 0 : json_array_size(l->jobs), row);
    }
    if (!full)
        l->looked_to_ms = json_integer_value(json_object_get(job, "created_at"));
    json_decref(job);
    return !full;
}

/* ---- the model ---- */

/* What the search names exactly: {job, agent, queue}, addresses or null. */
static enum err exact(struct call *c, struct text words, json_t **ret)
{
    json_t *jobs = NULL, *ids = json_pack("[o]", page_text(words));
    struct agent_read agent = {.name = words};
    enum err e = jobs_read_ids(c->store, ids, &jobs);

    if (!e && words.s)
        e = store_agents_get(c->store, &agent, 1);
    if (!e && agent.err != ERR_NOT_FOUND)
        e = agent.err;
    bool is_job = words.s && json_object_getn(jobs, words.s, words.len);
    *ret = json_pack("{s:o, s:o}", "job", is_job ? page_url("/jobs/", words, "") : json_null(),
                     "agent", agent.agent ? page_url("/agents/", words, "") : json_null());
    json_decref(ids);
    json_decref(jobs);
    json_decref(agent.agent);
    return e;
}

static json_t *options(const struct call *c)
{
#define STATE(name, ...) name,
    static const char *const names[] = {
        "active",
        "failed",
        "passed",
#include "worker/jobs/states.def"
    };
#undef STATE
    json_t *all = json_array(), *chosen = query_array(c->request, "state"), *state;
    size_t i;

    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        bool selected = false;
        json_array_foreach (chosen, i, state)
            selected = selected || strcmp(json_string_value(state), names[n]) == 0;
        json_array_append_new(all, json_pack("{s:s, s:b}", "name", names[n], "selected", selected));
    }
    json_decref(chosen);
    return all;
}

static json_t *value_of(const struct call *c, const char *name)
{
    struct text t = {NULL, 0};

    query_first(c->request, name, &t);
    return page_text(t);
}

/* The fields of the form, as they are filled in. */
static json_t *form_of(const struct call *c)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "states", options(c), "search",
                     value_of(c, "search"), "queue", value_of(c, "queue"), "tag",
                     value_of(c, "tag"), "agent", value_of(c, "agent"), "submitter",
                     value_of(c, "submitter"), "since", value_of(c, "since"), "until",
                     value_of(c, "until"));
}

/* The address of the page that begins, or with `back` ends, at a place; null where that is "". */
static enum err cursor_url(const struct list *l, const char *place, bool back, json_t **ret)
{
    char text[LIST_CURSOR_SIZE + 1];
    struct buf cursor = BUF_INIT(2 * LIST_CURSOR_SIZE);
    int len = snprintf(text, sizeof text, "%s%s", back ? BACK : "", place);
    enum err e =
        *place ? list_query_cursor(&l->q, (struct text){text, (size_t)len}, &cursor) : ERR_OK;

    if (!e)
        *ret = *place ? rows_url(l->q.c, "cursor", cursor.data) : json_null();
    buf_free(&cursor);
    return e;
}

/* {older, newer, start, oldest_first}: addresses, or null. */
static enum err pager(const struct list *l, const struct list_page *page, json_t **ret)
{
    json_t *on = NULL, *back = NULL;
    const char *before = l->back ? page->next : page->after ? page->first : "";
    enum err e = cursor_url(l, l->back ? page->first : page->next, false, &on);

    if (!e)
        e = cursor_url(l, before, true, &back);
    if (!e)
        *ret = json_pack("{s:O, s:O, s:o, s:b}", "older", l->oldest_first ? back : on, "newer",
                         l->oldest_first ? on : back, "start",
                         page->after ? rows_url(l->q.c, "cursor", NULL) : json_null(),
                         "oldest_first", l->oldest_first);
    json_decref(on);
    json_decref(back);
    return e;
}

/* {to, is_older}: how far a search has looked that has found no whole page; null: to the end. */
static json_t *looked(const struct list *l, const struct list_page *page)
{
    return *page->next && (int64_t)json_array_size(l->jobs) < l->q.limit
               ? json_pack("{s:o, s:b}", "to", page_time(l->looked_to_ms), "is_older", !page->up)
               : json_null();
}

/* {url, order} of the column by which the list is sorted. */
static json_t *created_column(const struct list *l)
{
    return json_pack("{s:o, s:s}", "url",
                     rows_url(l->q.c, "sort", l->oldest_first ? NULL : "created"), "order",
                     l->oldest_first ? "ascending" : "descending");
}

static enum err reply(struct list *l, const struct list_page *page)
{
    struct call *c = l->q.c;
    json_t *links = NULL, *found = NULL;
    enum err e = pager(l, page, &links);

    if (!e)
        e = exact(c, page->after ? (struct text){NULL, 0} : l->words, &found);
    if (!e)
        page_reply(c, 200,
                   json_pack("{s:s, s:O, s:b, s:O, s:o, s:b, s:o, s:O, s:o}", "title", "Jobs",
                             "exact", found, "has_jobs", json_array_size(l->jobs) > 0, "jobs",
                             l->jobs, "form", form_of(c), "has_filters", c->request->query_len > 0,
                             "created_column", created_column(l), "pager", links, "looked",
                             looked(l, page)));
    json_decref(links);
    json_decref(found);
    return e;
}

/* A page that is read backwards and meets the start of the list is its first page, which has as
 * many jobs as any. */
static enum err read_page(struct list *l, struct list_page *page)
{
    enum err e = store_jobs_list(l->q.c->store, &l->filter, page);

    if (e || !l->back || *page->next)
        return e;
    json_array_clear(l->jobs);
    l->back = false;
    page->up = l->oldest_first;
    page->after = NULL;
    return store_jobs_list(l->q.c->store, &l->filter, page);
}

static void answer(struct list *l)
{
    struct list_page page = {.limit = l->q.limit, .after = l->q.after.s, .take = take, .arg = l};

    l->back = page.after && *page.after == *BACK;
    if (l->back)
        page.after++;
    page.up = l->oldest_first != l->back;
    if (l->q.limit > SHOWN_MAX)
        page.limit = l->q.limit = SHOWN_MAX;
    if (l->words.s || l->outcome != OUTCOME_ANY)
        page.limit = LOOK_MAX;
    enum err e = read_page(l, &page);
    if (e == ERR_INVALID)
        query_bad_cursor(l->q.c);
    else if (e || (e = reply(l, &page)))
        reply_err(l->q.c, e);
}

static void take_sort(struct list *l)
{
    struct text sort = list_query_text(&l->q, "sort");

    l->oldest_first = sort.s && text_is(sort, "created");
    if (sort.s && !l->oldest_first && !text_is(sort, "-created"))
        list_query_error(&l->q, "sort", "There is no such column.");
}

void h_page_jobs(struct call *calls[], size_t n)
{
    static struct request filled; /* large */
    struct call *c = calls[0];
    const struct request *whole = c->request;
    struct list l = {.jobs = json_array()};

    (void)n;
    drop_empty(whole, &filled);
    c->request = &filled;
    l.states = query_array(c->request, "state");
    l.tags = query_array(c->request, "tag");
    take_outcome(&l);
    list_query_load(&l.q, c, filters);
    l.words = list_query_text(&l.q, "search");
    take_sort(&l);
    if (jobs_query_load(&l.q, l.states, l.tags, &l.filter))
        answer(&l);
    list_query_free(&l.q);
    json_decref(l.states);
    json_decref(l.tags);
    json_decref(l.jobs);
    c->request = whole;
}
