/* Events that are kept with jobs. */
#include "worker/store/sqlite/sqlite.h"

#include <stdlib.h>

static enum err add(struct sqlite *q, const struct job_events_post *post, const json_t *event)
{
    struct query r;
    char *text;
    size_t len;
    enum err e = sqlite_json(event, &text, &len);

    if (e)
        return e;
    r = query_new(q, SQL_JOB_EVENT_ADD);
    query_text(&r, post->job_id);
    query_int(&r, sqlite_now_ms(q));
    query_text(&r, (struct text){text, len});
    query_int(&r, post->max ? post->max : JOB_EVENTS_MAX);
    query_int(&r, JOB_EVENTS_BYTES);
    e = query_run(&r);
    free(text);
    return e;
}

enum err sqlite_job_events_add(struct store *s, const struct job_events_post *posts, size_t n)
{
    struct sqlite *q = sqlite_of(s);
    enum err e = sqlite_write_begin(q);
    json_t *event;
    size_t k;

    if (e)
        return e;
    for (size_t i = 0; i < n; i++)
        json_array_foreach ((json_t *)(uintptr_t)posts[i].events, k, event)
            if (!e)
                e = add(q, &posts[i], event);
    return sqlite_write_end(q, e);
}

static enum err read_posted(struct sqlite *q, int64_t job, json_t *list)
{
    struct query r = query_new(q, SQL_JOB_EVENTS);
    enum err e;

    query_int(&r, job);
    while ((e = query_step(&r)) == ERR_OK) {
        json_t *event = query_col_json(&r, 1);
        if (event)
            json_array_append_new(
                list, json_pack("{s:I, s:o}", "at", query_col_int(&r, 0), "event", event));
    }
    query_end(&r);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static enum err read_changes(struct sqlite *q, int64_t job, json_t *list)
{
    struct query r = query_new(q, SQL_JOB_CHANGES);
    enum err e;

    query_int(&r, job);
    while ((e = query_step(&r)) == ERR_OK)
        json_array_append_new(list,
                              json_pack("{s:I, s:s*, s:s*}", "at", query_col_int(&r, 0), "state",
                                        query_col_str(&r, 1), "reason", query_col_str(&r, 2)));
    query_end(&r);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err sqlite_job_events_get(struct store *s, struct text job_id, struct job_events *ret)
{
    struct sqlite *q = sqlite_of(s);
    struct job_events found = {json_array(), json_array()};
    struct query r = query_new(q, SQL_JOB_NUMBER);
    int64_t job = 0;

    query_text(&r, job_id);
    enum err e = query_step(&r);
    if (!e)
        job = query_col_int(&r, 0);
    query_end(&r);
    if (!e)
        e = read_posted(q, job, found.posted);
    if (!e)
        e = read_changes(q, job, found.changes);
    if (!e) {
        *ret = found;
        return ERR_OK;
    }
    json_decref(found.posted);
    json_decref(found.changes);
    return e;
}
