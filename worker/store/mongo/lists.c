/* Lists of jobs: of a queue, by tags and states; page by page in the order of submission. */
#include "worker/store/mongo/lists.h"

#include "worker/store/mongo/job.h"

#include "worker/jobs/states.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum err mongo_place_parse(const char *cursor, struct list_place *ret)
{
    char *end;
    long long ms = strtoll(cursor, &end, 10);

    if (end == cursor || *end != '-' || !bson_oid_is_valid(end + 1, strlen(end + 1)) ||
        strlen(end + 1) != 24)
        return ERR_INVALID;
    ret->created_ms = ms;
    bson_oid_init_from_string(&ret->id, end + 1);
    return ERR_OK;
}

#define SHOWN "job_id: true, created_at: true, " STATE_PATH ": true"

/* The shown fields of a job that exist. */
static json_t *job_shown(const bson_t *doc, bool with_queue)
{
    static const struct {
        const char *name, *path;
    } fields[] = {{"job_id", "job_id"},
                  {"created_at", "created_at"},
                  {"job_state", STATE_PATH},
                  {"job_queue", "job_data.job_queue"}};
    json_t *job = json_object();

    for (size_t i = 0; i < (with_queue ? 4u : 3u); i++)
        json_object_set_new(job, fields[i].name, doc_time(doc, fields[i].path)); /* NULL: not set */
    return job;
}

void mongo_place_print(const bson_t *doc, char out[LIST_CURSOR_SIZE])
{
    const bson_oid_t *oid = doc_oid(doc, "_id");
    char id[25];

    *out = '\0';
    if (!oid)
        return;
    bson_oid_to_string(oid, id);
    snprintf(out, LIST_CURSOR_SIZE, "%" PRId64 "-%s", doc_date(doc, "created_at"), id);
}

/* Passes on the jobs of the filter (taken) after the page's cursor. */
static enum err list(struct mongo *m, bson_t *filter, enum db_index index, struct list_page *page,
                     bool with_queue)
{
    bool more = false, cut = false;
    struct list_place place;
    struct db_found f;

    if (page->after && mongo_place_parse(page->after, &place)) {
        bson_destroy(filter);
        return ERR_INVALID;
    }
    if (page->after && filter)
        doc_add(filter, "created_at: {$gte: ?}, $or: [{created_at: {$gt: ?}}, {_id: {$gt: ?}}]",
                v_date(place.created_ms), v_date(place.created_ms), v_oid(&place.id));
    struct db_query q = {.collection = JOBS,
                         .filter = filter,
                         .fields = with_queue ? SHOWN ", job_data.job_queue: true" : SHOWN,
                         .sort = index_keys(IX_AGE),
                         .index = index,
                         .limit = (int)page->limit + 1,
                         .more = &cut};
    enum err e = db_find(m, &q, &f);
    if (e)
        return e;
    char last[LIST_CURSOR_SIZE] = "";
    while (db_next(&f)) {
        struct text id = doc_text(&f.doc, "job_id");
        more =
            !page->take(page->arg, id.s ? id : (struct text){"", 0}, job_shown(&f.doc, with_queue));
        if (more)
            break;
        mongo_place_print(&f.doc, page->next);
        memcpy(last, page->next, sizeof last);
        more = cut;
    }
    memcpy(page->next, more ? last : "", more ? sizeof last : 1);
    db_end(&f);
    return ERR_OK;
}

enum err mongo_queue_jobs(struct store *s, struct text queue, struct list_page *page)
{
    return list(mongo_of(s), doc_of("job_data.job_queue: ?", v_text(queue)), IX_QUEUE, page, true);
}

/* ---- search ---- */

/* With more states than this, scan all jobs by age: the server merges the index ranges of up to
 * 200 states, and each costs a little. */
#define STATES_LISTED_MAX 100

static bool is_over(const char *state)
{
    const char *const *over = states_over();

    for (size_t i = 0; over[i]; i++)
        if (strcmp(state, over[i]) == 0)
            return true;
    return false;
}

/* The distinct states of jobs that are not over (an agent may post any text): one index step
 * each. null stands for jobs without a state. */
static enum err find_active(struct mongo *m, bson_t *states, size_t *ret_n)
{
    bson_t reply;
    bson_iter_t value;
    enum err e = db_read(m, doc_of("distinct: ?, key: ?", v_str(JOBS), v_str(STATE_PATH)), &reply);

    if (e)
        return e;
    doc_add(states, "0: null");
    *ret_n = 1;
    if (doc_list(&reply, "values", &value))
        while (bson_iter_next(&value))
            if (BSON_ITER_HOLDS_UTF8(&value) && !is_over(bson_iter_utf8(&value, NULL)))
                doc_put_at(states, (*ret_n)++, v_str(bson_iter_utf8(&value, NULL)));
    bson_destroy(&reply);
    return ERR_OK;
}

enum err mongo_states_add(struct mongo *m, bson_t *filter, enum search_states which,
                          const json_t *states, bool list_active, bool *ret_listed)
{
    bson_t active = BSON_INITIALIZER;
    size_t n = 0;
    bool ok = true;
    enum err e = ERR_OK;

    *ret_listed = which == SEARCH_LISTED;
    if (which == SEARCH_LISTED) {
        ok = doc_add(filter, STATE_PATH ": {$in: ?}", v_json(states));
    } else if (which == SEARCH_ACTIVE) {
        if (list_active)
            e = find_active(m, &active, &n);
        *ret_listed = n > 0 && n <= STATES_LISTED_MAX;
        if (*ret_listed)
            doc_add(filter, STATE_PATH ": {$in: ?}", v_array(&active));
        else
            doc_add(filter, STATE_PATH ": {$nin: ?}", v_strs(states_over(), SIZE_MAX));
    }
    bson_destroy(&active);
    return ok ? e : ERR_INTERNAL;
}

enum err mongo_jobs_search(struct store *s, const struct job_search *search, struct list_page *page)
{
    struct mongo *m = mongo_of(s);
    bool tagged = json_array_size(search->tags) > 0, listed = false;
    bson_t *filter = bson_new();
    enum err e = ERR_OK;

    if (tagged && !doc_add(filter, "job_data.tags: {?: ?}",
                           v_str(search->all_tags ? "$all" : "$in"), v_json(search->tags)))
        e = ERR_INTERNAL;
    if (!e && search->submitter.s)
        doc_add(filter, "submitter: ?", v_text(search->submitter));
    if (!e)
        e = mongo_states_add(m, filter, search->which, search->states, !tagged, &listed);
    if (!e)
        return list(m, filter, tagged ? IX_TAG : listed ? IX_JOB_STATE : IX_AGE, page, false);
    bson_destroy(filter);
    return e;
}
