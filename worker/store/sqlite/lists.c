/* Lists of jobs: of a queue, by tags and states; page by page in the order of submission. */
#include "worker/store/sqlite/job.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* The cursor is the number of the last job. */
static enum err cursor_parse(const char *cursor, int64_t *ret)
{
    char *end;

    if (!cursor) {
        *ret = 0;
        return ERR_OK;
    }
    errno = 0;
    *ret = strtoll(cursor, &end, 10);
    return end == cursor || *end || *ret < 0 || errno ? ERR_INVALID : ERR_OK;
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
    int64_t last = 0;
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
        last = query_col_int(r, 0);
    }
    query_end(r);
    if (e && e != ERR_NOT_FOUND)
        return e;
    *page->next = '\0';
    if (more)
        snprintf(page->next, sizeof page->next, "%" PRId64, last);
    return ERR_OK;
}

enum err sqlite_queue_jobs(struct store *s, struct text queue, struct list_page *page)
{
    int64_t after;
    enum err e = cursor_parse(page->after, &after);

    if (e)
        return e;
    struct query r = query_new(sqlite_of(s), SQL_QUEUE_JOBS);
    query_text(&r, queue);
    query_int(&r, after);
    query_int(&r, page->limit + 1);
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
    size_t tags_len, states_len;
    int64_t after;
    enum err e = cursor_parse(page->after, &after);

    if (!e)
        e = sqlite_json(search->tags, &tags_text, &tags_len);
    if (!e && search->which == SEARCH_LISTED)
        e = sqlite_json(search->states, &states_text, &states_len);
    if (!e) {
        struct query r = query_new(sqlite_of(s), which);
        query_int(&r, after);
        query_int(&r, page->limit + 1);
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
