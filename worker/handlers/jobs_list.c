/* The list of jobs, newest first. */
#include "worker/handlers/search_states.h"
#include "worker/http/dates.h"
#include "worker/http/list_query.h"
#include "worker/http/query.h"

#include <string.h>

handler_fn h_jobs_list;

static const struct list_filter filters[] = {{"state", true},  {"queue", false},     {"tag", true},
                                             {"agent", false}, {"submitter", false}, {0}};

/* A filter's name or value is looked for as it is; "me": the caller. False: answered. */
static bool take_submitter(struct list_query *q, struct job_filter *f)
{
    f->submitter = list_query_text(q, "submitter");
    if (!f->submitter.s || !text_is(f->submitter, "me"))
        return true;
    f->submitter = caller_id(q->c);
    if (!f->submitter.s)
        reply_error(q->c, 401, "A token is needed to tell which jobs are yours");
    return f->submitter.s;
}

static const char *const shown[] = {"job_id",       "name",       "job_queue",    "job_state",
                                    "job_priority", "created_at", "started_at",   "ended_at",
                                    "end_reason",   "agent",      "submitted_by", "tags"};

/* A field that no job has is an error. */
static void check_fields(struct list_query *q)
{
    const char *name;
    json_t *value;

    json_object_foreach (q->fields, name, value) {
        bool known = false;
        for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
            known = known || strcmp(name, shown[i]) == 0;
        if (!known)
            list_query_error(q, "fields", "Jobs have no such field in this list.");
    }
}

/* Fills the filter from the query; its arrays are the caller's. False: answered. */
static bool load(struct list_query *q, json_t *states, json_t *tags, struct job_filter *ret)
{
    json_t *faults = search_states_faults(states);

    *ret = (struct job_filter){.tags = tags,
                               .which = search_states_which(states),
                               .states = states,
                               .queue = list_query_text(q, "queue"),
                               .agent = list_query_text(q, "agent"),
                               .since_ms = q->since_ms,
                               .until_ms = q->until_ms};
    if (faults)
        json_object_set_new(q->errors, "state", faults);
    check_fields(q);
    return list_query_check(q) && take_submitter(q, ret);
}

static json_t *show(void *query, json_t *job)
{
    date_show(DATES_ISO, job, "created_at");
    date_show(DATES_ISO, job, "started_at");
    date_show(DATES_ISO, job, "ended_at");
    list_query_pick(query, job);
    return job;
}

static void answer(struct list_query *q, const struct job_filter *filter)
{
    struct listing list;
    struct list_page page = {
        .limit = q->limit, .after = q->after.s, .take = listing_take, .arg = &list};

    listing_init(&list, q->c, q->limit);
    list.show = show;
    list.arg = q;
    enum err e = store_jobs_list(q->c->store, filter, &page);
    if (e == ERR_INVALID)
        query_bad_cursor(q->c);
    else if (e)
        reply_err(q->c, e);
    else
        list_query_reply(q, &list, (struct text){*page.next ? page.next : NULL, strlen(page.next)});
    listing_drop(&list);
}

void h_jobs_list(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    json_t *states = query_array(c->request, "state"), *tags = query_array(c->request, "tag");
    struct job_filter filter;
    struct list_query q;

    (void)n;
    list_query_load(&q, c, filters);
    if (load(&q, states, tags, &filter))
        answer(&q, &filter);
    list_query_free(&q);
    json_decref(states);
    json_decref(tags);
}
