/* The list of jobs, by age. */
#include "worker/store/mongo/job.h"
#include "worker/store/mongo/lists.h"

#include "worker/encoding/json_string.h"
#include "worker/jobs/outcome.h"
#include "worker/jobs/states.h"

#include <string.h>

static const char *order_of(const struct list_page *page)
{
    return page->up ? "created_at: 1, _id: 1" : "created_at: -1, _id: -1";
}

#define PHASE(name) ", result_data." name "_status: true"
static const char shown[] =
    "job_id: true, job_data.name: true, job_data.job_queue: true, " STATE_PATH
    ": true, job_priority: true, created_at: true, started_at: true, history: {$slice: -1}, "
    "claim.owner: true, submitter: true, job_data.tags: true, result_data.status: true"
#include "worker/jobs/phases.def"
    ;
#undef PHASE

/* The filters that an index serves, and all of them. */
struct plan {
    enum db_index index;
    bson_t *some, *all; /* owned until they are taken */
    bool rest;          /* `all` is more than `some` */
};

/* Adds the times, and the place of the last job that the page looks at ("": none), which are the
 * bounds of the index, and the place behind which it begins. */
static enum err add_range(bson_t *filter, const struct job_filter *f, const struct list_page *page,
                          const char *last)
{
    struct list_place first, end;
    const char *behind = page->up ? "$gt" : "$lt";
    int64_t since = f->since_ms, until = f->until_ms;

    if ((page->after && mongo_place_parse(page->after, &first)) ||
        (*last && mongo_place_parse(last, &end)))
        return ERR_INVALID;
    if (page->after)
        *(page->up ? &since : &until) = first.created_ms + !page->up;
    if (*last)
        *(page->up ? &until : &since) = end.created_ms + page->up;
    doc_add(filter, "created_at: {$gte: ?, $lt: ?}", v_date(since), v_date(until));
    if (*last)
        doc_add(filter, "$nor: [{created_at: ?, _id: {?: ?}}]", v_date(end.created_ms),
                v_str(behind), v_oid(&end.id));
    if (page->after)
        doc_add(filter, "$or: [{created_at: {?: ?}}, {created_at: ?, _id: {?: ?}}]", v_str(behind),
                v_date(first.created_ms), v_date(first.created_ms), v_str(behind),
                v_oid(&first.id));
    return ERR_OK;
}

/* Adds a filter: to `some`, too, where it is the one that has the index. */
static void add_text(struct plan *p, enum db_index index, const char *path, struct text text)
{
    if (!text.s)
        return;
    doc_add(p->all, "?: ?", v_str(path), v_text(text));
    if (p->index == index)
        doc_add(p->some, "?: ?", v_str(path), v_text(text));
    else
        p->rest = true;
}

static enum err add_tags(struct plan *p, const json_t *tags)
{
    size_t n = json_array_size(tags);

    if (n == 0)
        return ERR_OK;
    if (p->index == IX_TAG)
        doc_add(p->some, "job_data.tags: ?", v_text(json_string_text(json_array_get(tags, 0))));
    p->rest |= p->index != IX_TAG || n > 1;
    return doc_add(p->all, "job_data.tags: {$all: ?}", v_json(tags)) ? ERR_OK : ERR_INTERNAL;
}

static enum err add_states(struct mongo *m, struct plan *p, const struct job_filter *f)
{
    bool first = p->index == IX_JOB_STATE, listed = false;
    bson_t states = BSON_INITIALIZER;
    enum err e = mongo_states_add(m, &states, f->which, f->states, first, &listed);

    doc_add(p->all, "?", v_doc(&states));
    if (first && listed)
        doc_add(p->some, "?", v_doc(&states));
    else if (first)
        p->index = IX_AGE; /* there are too many */
    p->rest |= f->which != SEARCH_ANY && !(first && listed);
    bson_destroy(&states);
    return e;
}

/* Chooses the index with the fewest jobs. plan_free() in any case. */
static enum err plan_make(struct mongo *m, const struct job_filter *f, struct plan *ret)
{
    *ret = (struct plan){.some = bson_new(), .all = bson_new()};
    ret->index = f->submitter.s             ? IX_SUBMITTER
                 : f->agent.s               ? IX_AGENT_JOBS
                 : json_array_size(f->tags) ? IX_TAG
                 : f->queue.s               ? IX_QUEUE
                 : f->which != SEARCH_ANY   ? IX_JOB_STATE
                                            : IX_AGE;
    enum err e = add_states(m, ret, f);
    if (!e)
        e = add_tags(ret, f->tags);
    add_text(ret, IX_SUBMITTER, "submitter", f->submitter);
    add_text(ret, IX_QUEUE, "job_data.job_queue", f->queue);
    add_text(ret, IX_AGENT_JOBS, "claim.owner", f->agent);
    return e;
}

static void plan_free(struct plan *p)
{
    bson_destroy(p->some);
    bson_destroy(p->all);
}

/* Finds the last of the LIST_LOOK_MAX jobs that a page looks at: "": there are fewer, or the index
 * serves all filters. Jobs that come meanwhile are newer, or stand between those. */
static enum err find_last(struct mongo *m, const struct plan *p, const struct list_page *page,
                          char last[LIST_CURSOR_SIZE])
{
    struct db_found f;

    *last = '\0';
    if (!p->rest)
        return ERR_OK;
    bson_t *order = doc_of(order_of(page));
    bson_t *pipeline = doc_of("[{$match: ?}, {$sort: ?}, {$skip: ?}, {$limit: 1}, "
                              "{$project: {created_at: true}}]",
                              v_doc(p->some), v_doc(order), v_int(LIST_LOOK_MAX - 1));
    bson_destroy(order);
    enum err e = db_aggregate(m, JOBS, pipeline, p->index, &f);
    if (!e && db_next(&f))
        mongo_place_print(&f.doc, last);
    db_end(&f);
    return e;
}

static json_t *or_null(json_t *value)
{
    return value ? value : json_null();
}

static void add_end(const bson_t *doc, json_t *job)
{
    bson_iter_t entries;
    bson_t last;

    if (!doc_list(doc, "history", &entries) || !bson_iter_next(&entries) ||
        !doc_view(&entries, &last))
        return;
    json_object_set_new(job, "ended_at", or_null(doc_time(&last, "at")));
    json_object_set_new(job, "end_reason", or_null(doc_json(&last, "reason")));
}

static json_t *job_of(const bson_t *doc)
{
    static const struct {
        const char *name, *path;
    } fields[] = {{"job_id", "job_id"},
                  {"name", "job_data.name"},
                  {"job_queue", "job_data.job_queue"},
                  {"job_state", STATE_PATH},
                  {"job_priority", "job_priority"},
                  {"created_at", "created_at"},
                  {"started_at", "started_at"},
                  {"ended_at", NULL},
                  {"end_reason", NULL},
                  {"agent", "claim.owner"},
                  {"submitted_by", "submitter"},
                  {"tags", "job_data.tags"}};
    const char *state = doc_str(doc, STATE_PATH);
    json_t *job = json_object();

    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        json_object_set_new(job, fields[i].name,
                            or_null(fields[i].path ? doc_time(doc, fields[i].path) : NULL));
    if (state && state_is_over(state))
        add_end(doc, job);
    json_t *result = doc_json(doc, "result_data");
    json_object_set_new(job, "status", outcome_status(result));
    json_decref(result);
    return job;
}

/* Gives the jobs to the page. `more`: there are others behind them. */
static void give(struct db_found *f, struct list_page *page, bool more)
{
    char last[LIST_CURSOR_SIZE] = "";
    bool full = false;

    while (!full && db_next(f)) {
        struct text id = doc_text(&f->doc, "job_id");
        if (!*page->first)
            mongo_place_print(&f->doc, page->first);
        full = !page->take(page->arg, id.s ? id : (struct text){"", 0}, job_of(&f->doc));
        if (!full)
            mongo_place_print(&f->doc, last);
    }
    memcpy(page->next, full || more ? last : "", full || more ? sizeof last : 1);
}

enum err mongo_jobs_list(struct store *s, const struct job_filter *filter, struct list_page *page)
{
    struct mongo *m = mongo_of(s);
    char last[LIST_CURSOR_SIZE] = "";
    struct plan p;
    struct db_found f;
    bool more = false;
    enum err e = plan_make(m, filter, &p);

    *page->first = '\0';
    if (!e)
        e = add_range(p.some, filter, page, last);
    if (!e)
        e = find_last(m, &p, page, last);
    if (!e)
        e = add_range(p.all, filter, page, last);
    if (!e) {
        e = DB_FIND(m, &f, .collection = JOBS, .filter = p.all, .fields = shown,
                    .sort = order_of(page), .index = p.index, .limit = (int)page->limit + 1,
                    .more = &more);
        p.all = NULL;
    }
    if (!e) {
        give(&f, page, more);
        if (!*page->next)
            memcpy(page->next, last, sizeof last);
        db_end(&f);
    }
    plan_free(&p);
    return e;
}

enum err mongo_queue_next(struct store *s, struct text queue, int64_t limit, list_take_fn *take,
                          void *arg)
{
    struct db_found f;
    bool more = true;
    enum err e =
        DB_FIND(mongo_of(s), &f, .collection = JOBS,
                .filter = doc_of(STATE_PATH ": 'waiting', job_data.job_queue: ?", v_text(queue)),
                .fields = shown, .sort = CLAIM_ORDER, .index = IX_WAITING, .limit = (int)limit);

    while (!e && more && db_next(&f))
        more = take(arg, doc_text(&f.doc, "job_id"), job_of(&f.doc));
    db_end(&f);
    return e;
}

/* The newest job of each id. */
enum err mongo_jobs_show(struct store *s, const struct text *ids, size_t n, list_take_fn *take,
                         void *arg)
{
    size_t len = n < JOBS_SHOWN_MAX ? n : JOBS_SHOWN_MAX;
    json_t *seen = json_object();
    struct db_found f;
    enum err e = DB_FIND(mongo_of(s), &f, .collection = JOBS,
                         .filter = doc_of("job_id: {$in: ?}", v_texts(ids, len)), .fields = shown,
                         .sort = "job_id: 1, created_at: -1", .index = IX_JOB_ID,
                         .limit = 2 * JOBS_SHOWN_MAX);

    while (!e && db_next(&f)) {
        struct text id = doc_text(&f.doc, "job_id");
        if (!id.s || json_object_getn(seen, id.s, id.len))
            continue;
        json_object_setn_new(seen, id.s, id.len, json_true());
        if (!take(arg, id, job_of(&f.doc)))
            break;
    }
    db_end(&f);
    json_decref(seen);
    return e;
}
