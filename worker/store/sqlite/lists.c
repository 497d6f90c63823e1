/* Lists of jobs: of a queue, by tags and states; page by page in the order of submission. */
#include "worker/store/sqlite/lists.h"

#include "worker/store/sqlite/job.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum err sqlite_place_parse(const char *cursor, struct list_place *ret)
{
    char *dash, *end;

    errno = 0;
    ret->created_us = strtoll(cursor, &dash, 10);
    if (dash == cursor || *dash != '_')
        return ERR_INVALID;
    ret->id = strtoll(dash + 1, &end, 10);
    return end == dash + 1 || *end || ret->id < 0 || errno ? ERR_INVALID : ERR_OK;
}

void sqlite_place_print(const struct list_place *p, char out[LIST_CURSOR_SIZE])
{
    snprintf(out, LIST_CURSOR_SIZE, "%" PRId64 "_%" PRId64, p->created_us, p->id);
}

/* Begins a statement with the place behind which the page begins and its limit. */
static enum err begin(struct sqlite *q, enum sql which, const struct list_page *page,
                      struct query *ret)
{
    struct list_place after = {.created_us = INT64_MIN};
    enum err e = page->after ? sqlite_place_parse(page->after, &after) : ERR_OK;

    if (e)
        return e;
    *ret = query_new(q, which);
    query_int(ret, after.created_us);
    query_int(ret, after.id);
    query_int(ret, page->limit + 1);
    return ERR_OK;
}

static json_t *column(const struct query *r, int at)
{
    struct text t = query_col_text(r, at);
    json_t *value = json_stringn(t.s ? t.s : "", t.len);

    return value ? value : json_string("");
}

/* Takes the rows (id, job_id, created_us, state, queue) of a statement and ends it. */
static enum err collect(struct query *r, struct list_page *page, bool with_queue)
{
    struct list_place last = {0};
    json_t *job;
    bool more = false;
    enum err e;

    while ((e = query_step(r)) == ERR_OK) {
        job = json_pack("{s:o, s:I, s:o}", "job_id", column(r, 1), "created_at",
                        (json_int_t)(query_col_int(r, 2) / 1000), "job_state", column(r, 3));
        if (with_queue)
            json_object_set_new(job, "job_queue", column(r, 4));
        more = !page->take(page->arg, query_col_text(r, 1), job);
        if (more)
            break;
        last = (struct list_place){query_col_int(r, 2), query_col_int(r, 0)};
    }
    query_end(r);
    if (e && e != ERR_NOT_FOUND)
        return e;
    *page->next = '\0';
    if (more)
        sqlite_place_print(&last, page->next);
    return ERR_OK;
}

enum err sqlite_queue_jobs(struct store *s, struct text queue, struct list_page *page)
{
    struct query r;
    enum err e = begin(sqlite_of(s), SQL_QUEUE_JOBS, page, &r);

    if (e)
        return e;
    query_text(&r, queue);
    return collect(&r, page, true);
}

static enum sql statement_of(const struct job_search *search)
{
    if (json_array_size(search->tags))
        return search->all_tags ? SQL_SEARCH_ALL_TAGS : SQL_SEARCH_ANY_TAG;
    return search->which == SEARCH_ANY ? SQL_SEARCH : SQL_SEARCH_STATES;
}

enum err sqlite_jobs_search(struct store *s, const struct job_search *search,
                            struct list_page *page)
{
    enum sql which = statement_of(search);
    char *tags_text = NULL, *states_text = NULL;
    size_t states_len;
    struct query r;
    enum err e = sqlite_json_hex(search->tags, &tags_text);

    if (!e && search->which == SEARCH_LISTED)
        e = sqlite_json(search->states, &states_text, &states_len);
    if (!e)
        e = begin(sqlite_of(s), which, page, &r);
    if (!e) {
        if (which != SQL_SEARCH) {
            query_int(&r, search->which);
            query_str(&r, states_text ? states_text : "[]");
        }
        if (json_array_size(search->tags))
            query_str(&r, tags_text);
        query_given(&r, search->submitter);
        e = collect(&r, page, false);
    }
    free(tags_text);
    free(states_text);
    return e;
}
