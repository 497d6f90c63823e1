/* The list of jobs, newest first. */
#include "worker/handlers/jobs_query.h"
#include "worker/http/dates.h"
#include "worker/http/query.h"

#include <string.h>

handler_fn h_jobs_list;

static const struct list_filter filters[] = {{"state", true},  {"queue", false},     {"tag", true},
                                             {"agent", false}, {"submitter", false}, {0}};

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

static json_t *show(void *query, json_t *job)
{
    date_show(DATES_ISO, job, "created_at");
    date_show(DATES_ISO, job, "started_at");
    date_show(DATES_ISO, job, "ended_at");
    json_object_del(job, "status");
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
    check_fields(&q);
    if (jobs_query_load(&q, states, tags, &filter))
        answer(&q, &filter);
    list_query_free(&q);
    json_decref(states);
    json_decref(tags);
}
