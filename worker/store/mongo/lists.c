/* Lists of jobs: of a queue, by tags and states; page by page in the order of submission. */
#include "worker/store/mongo/job.h"

#include "common/log.h"
#include "worker/jobs/states.h"
#include "worker/store/mongo/bsonjson.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The cursor of a page: created_at and _id of its last job. */
struct place {
    int64_t created_ms;
    bson_oid_t id;
};

static enum err place_parse(const char *cursor, struct place *ret)
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

/* Appends to a filter: jobs behind the place. */
static void append_behind(bson_t *filter, const struct place *p)
{
    bson_t either, one, child;
    char key[MONGO_INDEX_SIZE];

    BSON_APPEND_DOCUMENT_BEGIN(filter, "created_at", &child);
    BSON_APPEND_DATE_TIME(&child, "$gte", p->created_ms);
    bson_append_document_end(filter, &child);
    BSON_APPEND_ARRAY_BEGIN(filter, "$or", &either);
    BSON_APPEND_DOCUMENT_BEGIN(&either, mongo_index(0, key), &one);
    BSON_APPEND_DOCUMENT_BEGIN(&one, "created_at", &child);
    BSON_APPEND_DATE_TIME(&child, "$gt", p->created_ms);
    bson_append_document_end(&one, &child);
    bson_append_document_end(&either, &one);
    BSON_APPEND_DOCUMENT_BEGIN(&either, mongo_index(1, key), &one);
    BSON_APPEND_DOCUMENT_BEGIN(&one, "_id", &child);
    BSON_APPEND_OID(&child, "$gt", &p->id);
    bson_append_document_end(&one, &child);
    bson_append_document_end(&either, &one);
    bson_append_array_end(filter, &either);
}

/* What is shown of a job: each field that is there. */
static json_t *job_shown(const bson_t *doc, bool with_queue)
{
    static const struct {
        const char *name, *path;
    } fields[] = {
        {"job_id",     "job_id"            },
        {"created_at", "created_at"        },
        {"job_state",  STATE_PATH          },
        {"job_queue",  "job_data.job_queue"}
    };
    json_t *job = json_object();
    bson_iter_t it;

    for (size_t i = 0; i < (with_queue ? 4u : 3u); i++)
        if (mongo_field(doc, fields[i].path, &it))
            json_object_set_new(job, fields[i].name, bsonjson_value(&it));
    return job;
}

static void note_place(const bson_t *doc, struct list_page *page)
{
    char id[25];
    bson_iter_t it;

    *page->next = '\0';
    if (!bson_iter_init_find(&it, doc, "_id") || !BSON_ITER_HOLDS_OID(&it))
        return;
    bson_oid_to_string(bson_iter_oid(&it), id);
    snprintf(page->next, sizeof page->next, "%" PRId64 "-%s", mongo_date(doc, "created_at"), id);
}

/* Runs a query whose filter is begun; `index`: the fixed document of its index and sort. */
static enum err list(struct mongo *m, bson_t *filter, const bson_t *index, const bson_t *sort,
                     struct list_page *page, bool with_queue)
{
    bson_t projection = BSON_INITIALIZER, reply, doc;
    bool more = false, cut = false;
    struct mongo_query q = {.collection = JOBS,
                            .filter = filter,
                            .projection = &projection,
                            .sort = sort,
                            .hint = index,
                            .limit = (int)page->limit + 1,
                            .more = &cut};
    bson_iter_t batch, it;
    struct place place;

    if (page->after) {
        if (place_parse(page->after, &place))
            return ERR_INVALID;
        append_behind(filter, &place);
    }
    BSON_APPEND_BOOL(&projection, "job_id", true);
    BSON_APPEND_BOOL(&projection, "created_at", true);
    BSON_APPEND_BOOL(&projection, STATE_PATH, true);
    if (with_queue)
        BSON_APPEND_BOOL(&projection, "job_data.job_queue", true);
    enum err e = mongo_find(m, &q, &reply, &batch);
    bson_destroy(&projection);
    if (e)
        return e;
    char last[LIST_CURSOR_SIZE] = "";
    while (mongo_next(&batch, &doc)) {
        struct text id = {"", 0};
        uint32_t len = 0;
        if (bson_iter_init_find(&it, &doc, "job_id") && BSON_ITER_HOLDS_UTF8(&it))
            id.s = bson_iter_utf8(&it, &len);
        id.len = len;
        more = !page->take(page->arg, id, job_shown(&doc, with_queue));
        if (more)
            break;
        note_place(&doc, page);
        memcpy(last, page->next, sizeof last);
        more = cut;
    }
    memcpy(page->next, more ? last : "", more ? sizeof last : 1);
    bson_destroy(&reply);
    return ERR_OK;
}

enum err mongo_queue_jobs(struct store *s, struct text queue, struct list_page *page)
{
    struct mongo *m = mongo_of(s);
    bson_t filter = BSON_INITIALIZER;

    mongo_append_text(&filter, "job_data.job_queue", queue);
    enum err e = list(m, &filter, m->fixed.by_queue, m->fixed.by_age, page, true);
    bson_destroy(&filter);
    return e;
}

/* ---- search ---- */

static enum err append_tags(bson_t *filter, const struct job_search *search)
{
    const char *how = search->all_tags ? "$all" : "$in";
    bson_t child;

    if (json_array_size(search->tags) == 0)
        return ERR_OK;
    BSON_APPEND_DOCUMENT_BEGIN(filter, "job_data.tags", &child);
    bool ok = bsonjson_append(&child, how, strlen(how), search->tags);
    bson_append_document_end(filter, &child);
    return ok ? ERR_OK : ERR_INTERNAL;
}

/* More states than this are looked for among all jobs: the server merges the jobs of up to 200 in
 * their order, and each costs a little. */
#define STATES_LISTED_MAX 100

static bool is_over(const char *state)
{
    const char *const *over = states_over();

    for (size_t i = 0; over[i]; i++)
        if (strcmp(state, over[i]) == 0)
            return true;
    return false;
}

/* The states of jobs that are not over, as there are; an agent may post any text. The server takes
 * them from the index, one step each. null stands for jobs without a state. */
static enum err find_active(struct mongo *m, bson_t *states, size_t *ret_n)
{
    bson_t command = BSON_INITIALIZER, reply;
    bson_iter_t it, value;
    char key[MONGO_INDEX_SIZE];

    BSON_APPEND_UTF8(&command, "distinct", JOBS);
    BSON_APPEND_UTF8(&command, "key", STATE_PATH);
    enum err e = mongo_read(m, &command, &reply);
    bson_destroy(&command);
    if (e)
        return e;
    BSON_APPEND_NULL(states, "0");
    *ret_n = 1;
    if (bson_iter_init_find(&it, &reply, "values") && bson_iter_recurse(&it, &value))
        while (bson_iter_next(&value))
            if (BSON_ITER_HOLDS_UTF8(&value) && !is_over(bson_iter_utf8(&value, NULL))) {
                const char *at = mongo_index((*ret_n)++, key);
                BSON_APPEND_UTF8(states, at, bson_iter_utf8(&value, NULL));
            }
    bson_destroy(&reply);
    return ERR_OK;
}

static void append_active(bson_t *filter)
{
    const char *const *over = states_over();
    bson_t child, list;
    char key[MONGO_INDEX_SIZE];

    BSON_APPEND_DOCUMENT_BEGIN(filter, STATE_PATH, &child);
    BSON_APPEND_ARRAY_BEGIN(&child, "$nin", &list);
    for (size_t i = 0; over[i]; i++)
        BSON_APPEND_UTF8(&list, mongo_index(i, key), over[i]);
    bson_append_array_end(&child, &list);
    bson_append_document_end(filter, &child);
}

/* Appends the states that are wanted; *listed: one by one, so that their index serves. */
static enum err append_states(struct mongo *m, bson_t *filter, const struct job_search *search,
                              bool *listed)
{
    bson_t child, states = BSON_INITIALIZER;
    size_t n = 0;
    bool ok = true;
    enum err e = ERR_OK;

    if (search->which == SEARCH_LISTED) {
        BSON_APPEND_DOCUMENT_BEGIN(filter, STATE_PATH, &child);
        ok = bsonjson_append(&child, "$in", strlen("$in"), search->states);
        bson_append_document_end(filter, &child);
        *listed = true;
    } else if (search->which == SEARCH_ACTIVE) {
        if (json_array_size(search->tags) == 0)
            e = find_active(m, &states, &n);
        *listed = n > 0 && n <= STATES_LISTED_MAX;
        if (*listed) {
            BSON_APPEND_DOCUMENT_BEGIN(filter, STATE_PATH, &child);
            BSON_APPEND_ARRAY(&child, "$in", &states);
            bson_append_document_end(filter, &child);
        } else {
            append_active(filter);
        }
    }
    bson_destroy(&states);
    return ok ? e : ERR_INTERNAL;
}

enum err mongo_jobs_search(struct store *s, const struct job_search *search, struct list_page *page)
{
    struct mongo *m = mongo_of(s);
    bson_t filter = BSON_INITIALIZER;
    bool listed = false;
    enum err e = append_tags(&filter, search);

    if (!e)
        e = append_states(m, &filter, search, &listed);
    const bson_t *index = json_array_size(search->tags) ? m->fixed.by_tag
                          : listed                      ? m->fixed.by_job_state
                                                        : m->fixed.by_age;
    if (!e)
        e = list(m, &filter, index, m->fixed.by_age, page, false);
    bson_destroy(&filter);
    return e;
}
