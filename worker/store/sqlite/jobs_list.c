/* The list of jobs, by age. */
#include "worker/store/sqlite/lists.h"

#include "worker/encoding/json_string.h"
#include "worker/jobs/outcome.h"
#include "worker/jobs/phases.h"
#include "worker/jobs/states.h"

#include <stdlib.h>

_Static_assert(PHASE_COUNT == 7, "PHASE_CODES of statements.def lacks a phase");

/* Jobs that one statement returns. */
#define CHUNK 100

/* A page in the making. Filters that no index serves look at one job after the other. */
struct walk {
    struct sqlite *q;
    const struct job_filter *filter;
    struct list_page *page;
    struct list_place at; /* of the last job that was looked at */
    int64_t looked, bytes;
    bool full; /* there are others, which have no place */
};

/* Columns of LISTED_JOB. */
enum { ID, CREATED, JOB_ID, STATE, QUEUE, PRIORITY, STARTED, OWNER, SUBMITTER, SIZE };
/* Columns of SQL_LIST_DETAIL. */
enum { NAME, TAGS, ENDED, REASON, CODES };

static bool has_text(const json_t *list, struct text wanted)
{
    json_t *text;
    size_t i;

    json_array_foreach (list, i, text)
        if (text_equal(json_string_text(text), wanted))
            return true;
    return false;
}

/* Whether a text is the wanted one; s NULL: any is. */
static bool is_wanted(struct text wanted, struct text t)
{
    return !wanted.s || (t.s && text_equal(wanted, t));
}

/* Whether the filter wants the job of a row, as far as the row tells. */
static bool row_matches(const struct job_filter *f, const struct query *r)
{
    struct text state = query_col_text(r, STATE);

    if (f->which == SEARCH_LISTED && !has_text(f->states, state))
        return false;
    if (f->which == SEARCH_ACTIVE && state_is_over(query_col_str(r, STATE)))
        return false;
    return is_wanted(f->queue, query_col_text(r, QUEUE)) &&
           is_wanted(f->agent, query_col_text(r, OWNER)) &&
           is_wanted(f->submitter, query_col_text(r, SUBMITTER));
}

/* A column of JSON text; null where it is. */
static json_t *json_at(const struct query *r, int column)
{
    json_t *value = query_col_text(r, column).s ? query_col_json(r, column) : NULL;

    return value ? value : json_null();
}

static json_t *job_of(const struct query *r)
{
    return json_pack("{s:o, s:n, s:o, s:o, s:I, s:I, s:o, s:n, s:n, s:o, s:o, s:n, s:{}}", "job_id",
                     query_col_json_text(r, JOB_ID), "name", "job_queue",
                     query_col_json_text(r, QUEUE), "job_state", query_col_json_text(r, STATE),
                     "job_priority", (json_int_t)query_col_int(r, PRIORITY), "created_at",
                     (json_int_t)(query_col_int(r, CREATED) / 1000), "started_at",
                     query_col_json_int(r, STARTED), "ended_at", "end_reason", "agent",
                     query_col_json_text(r, OWNER), "submitted_by",
                     query_col_json_text(r, SUBMITTER), "tags", "status");
}

/* Adds what stands in other tables. */
static enum err add_detail(struct sqlite *q, const struct query *row, json_t *job)
{
    bool over = state_is_over(query_col_str(row, STATE));
    struct query r = query_new(q, SQL_LIST_DETAIL);

    query_int(&r, query_col_int(row, ID));
    enum err e = query_step(&r);
    if (!e) {
        json_object_set_new(job, "name", json_at(&r, NAME));
        json_object_set_new(job, "tags", json_at(&r, TAGS));
        json_object_set_new(job, "ended_at", over ? query_col_json_int(&r, ENDED) : json_null());
        json_object_set_new(job, "end_reason",
                            over ? query_col_json_text(&r, REASON) : json_null());
        json_t *codes = json_at(&r, CODES);
        json_object_set_new(job, "status", outcome_status(codes));
        json_decref(codes);
    }
    query_end(&r);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static bool has_tags(const struct job_filter *f, const json_t *job)
{
    const json_t *tags = json_object_get(job, "tags");
    json_t *tag;
    size_t i;

    json_array_foreach (f->tags, i, tag)
        if (!has_text(tags, json_string_text(tag)))
            return false;
    return true;
}

/* Gives the job of a row to the page where the filter wants it. */
static enum err take(struct walk *w, const struct query *r)
{
    if (!row_matches(w->filter, r))
        return ERR_OK;
    json_t *job = job_of(r);
    enum err e = add_detail(w->q, r, job);
    w->bytes += query_col_int(r, SIZE);
    if (!e && has_tags(w->filter, job)) {
        struct list_place place = {query_col_int(r, CREATED), query_col_int(r, ID)};
        if (!*w->page->first)
            sqlite_place_print(&place, w->page->first);
        w->full = !w->page->take(w->page->arg, query_col_text(r, JOB_ID), job);
    } else {
        json_decref(job);
    }
    return e;
}

/* What the filter's statement takes beside the place. */
enum kind { BY_SUBMITTER, BY_AGENT, BY_TAG, BY_QUEUE, BY_STATES, BY_AGE };

/* The kind that looks at the fewest jobs. */
static enum kind kind_of(const struct job_filter *f)
{
    return f->submitter.s             ? BY_SUBMITTER
           : f->agent.s               ? BY_AGENT
           : json_array_size(f->tags) ? BY_TAG
           : f->queue.s               ? BY_QUEUE
           : f->which != SEARCH_ANY   ? BY_STATES
                                      : BY_AGE;
}

static enum sql statement_of(enum kind kind, bool up)
{
    static const enum sql statements[][2] = {
        [BY_SUBMITTER] = {SQL_LIST_SUBMITTER, SQL_LIST_SUBMITTER_UP},
        [BY_AGENT] = {SQL_LIST_AGENT, SQL_LIST_AGENT_UP},
        [BY_TAG] = {SQL_LIST_TAG, SQL_LIST_TAG_UP},
        [BY_QUEUE] = {SQL_LIST_QUEUE, SQL_LIST_QUEUE_UP},
        [BY_STATES] = {SQL_LIST_STATES, SQL_LIST_STATES_UP},
        [BY_AGE] = {SQL_LIST_ALL, SQL_LIST_ALL_UP},
    };

    return statements[kind][up];
}

static void bind_all(struct query *r, const struct walk *w, enum kind kind, const char *states)
{
    const struct job_filter *f = w->filter;

    query_int(r, w->at.created_us);
    query_int(r, w->at.id);
    query_int(r, (w->page->up ? f->until_ms : f->since_ms) * 1000);
    query_int(r, CHUNK);
    if (kind == BY_SUBMITTER)
        query_text(r, f->submitter);
    else if (kind == BY_AGENT)
        query_text(r, f->agent);
    else if (kind == BY_TAG)
        query_text(r, json_string_text(json_array_get(f->tags, 0)));
    else if (kind == BY_QUEUE)
        query_text(r, f->queue);
    else if (kind == BY_STATES) {
        query_int(r, f->which);
        query_str(r, states);
    }
}

/* Looks at the next jobs, up to CHUNK. *ret_more: there may be others. */
static enum err look(struct walk *w, enum kind kind, const char *states, bool *ret_more)
{
    struct query r = query_new(w->q, statement_of(kind, w->page->up));
    enum err e, taken = ERR_OK;
    int rows = 0;

    bind_all(&r, w, kind, states);
    while (!taken && !w->full && w->bytes < LIST_BYTES_MAX && (e = query_step(&r)) == ERR_OK) {
        taken = take(w, &r);
        if (!taken && !w->full)
            w->at = (struct list_place){query_col_int(&r, CREATED), query_col_int(&r, ID)};
        rows++;
    }
    query_end(&r);
    w->looked += rows;
    *ret_more = w->full || w->bytes >= LIST_BYTES_MAX || rows == CHUNK;
    return taken ? taken : *ret_more || e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err sqlite_jobs_list(struct store *s, const struct job_filter *f, struct list_page *page)
{
    struct walk w = {.q = sqlite_of(s), .filter = f, .page = page};
    enum kind kind = kind_of(f);
    char *states = NULL;
    size_t len;
    bool more = true;
    enum err e = ERR_OK;

    *page->next = *page->first = '\0';
    w.at = (struct list_place){(page->up ? f->since_ms : f->until_ms) * 1000, -1};
    if (page->after)
        e = sqlite_place_parse(page->after, &w.at);
    if (!e && f->which == SEARCH_LISTED)
        e = sqlite_json(f->states, &states, &len);
    while (!e && more && !w.full && w.looked < LIST_LOOK_MAX && w.bytes < LIST_BYTES_MAX)
        e = look(&w, kind, states, &more);
    if (!e && more)
        sqlite_place_print(&w.at, page->next);
    free(states);
    return e;
}

/* Gives the job of a row, with its detail, to `take_job`; *ret_more false: it wants no more. */
static enum err give(struct sqlite *q, const struct query *r, list_take_fn *take_job, void *arg,
                     bool *ret_more)
{
    json_t *job = job_of(r);
    enum err e = add_detail(q, r, job);

    if (e)
        json_decref(job);
    else
        *ret_more = take_job(arg, query_col_text(r, JOB_ID), job);
    return e;
}

enum err sqlite_queue_next(struct store *s, struct text queue, int64_t limit,
                           list_take_fn *take_job, void *arg)
{
    struct query r = query_new(sqlite_of(s), SQL_QUEUE_NEXT);
    bool more = true;
    enum err e = ERR_OK;

    query_text(&r, queue);
    query_int(&r, limit);
    while (more && !e && !(e = query_step(&r)))
        e = give(sqlite_of(s), &r, take_job, arg, &more);
    query_end(&r);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static enum err show(struct sqlite *q, struct text id, list_take_fn *take_job, void *arg,
                     bool *ret_more)
{
    struct query r = query_new(q, SQL_JOB_LISTED);

    query_text(&r, id);
    enum err e = query_step(&r);
    if (!e)
        e = give(q, &r, take_job, arg, ret_more);
    query_end(&r);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err sqlite_jobs_show(struct store *s, const struct text *ids, size_t n, list_take_fn *take_job,
                          void *arg)
{
    bool more = true;
    enum err e = ERR_OK;

    for (size_t i = 0; i < n && i < JOBS_SHOWN_MAX && more && !e; i++)
        e = show(sqlite_of(s), ids[i], take_job, arg, &more);
    return e;
}
