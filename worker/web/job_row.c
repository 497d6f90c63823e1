#include "worker/web/job_row.h"

#include "common/mem.h"
#include "worker/encoding/json_string.h"
#include "worker/jobs/outcome.h"
#include "worker/jobs/states.h"
#include "worker/validation/job_id.h"
#include "worker/web/values.h"

#include <stdlib.h>
#include <string.h>

#define SHORT_ID 8 /* characters that tell most jobs apart */

json_t *job_outcome(const json_t *state, const json_t *status, const json_t *reason)
{
    const char *text = json_string_value(state), *phase, *word = text ? text : "unknown";
    const char *class = "busy", *icon = "▶";
    json_t *failed = NULL;
    int64_t code;

    if (text && strcmp(text, "waiting") == 0) {
        class = "faint", icon = "○";
    } else if (text && strcmp(text, "cancelled") == 0) {
        class = "warn", icon = "⊘";
    } else if (text && state_is_complete(text) && outcome_failed(status, &phase, &code)) {
        word = "failed", class = "bad", icon = "✘";
        failed = json_pack("{s:s, s:I}", "phase", phase, "code", (json_int_t)code);
    } else if (text && state_is_complete(text)) {
        word = "passed", class = "good", icon = "✔";
    }
    return json_pack("{s:s, s:s, s:s, s:o, s:o}", "word", word, "class", class, "icon", icon,
                     "failed", failed ? failed : json_null(), "reason",
                     page_short(reason, CELL_MAX));
}

/* The time between two of a job's, where both are known. */
static json_t *span_between(const json_t *from, const json_t *to)
{
    return json_is_integer(from) && json_is_integer(to)
               ? page_span((json_integer_value(to) - json_integer_value(from)) / 1000)
               : json_null();
}

static json_t *url_of(const char *before, const json_t *name)
{
    struct text text = json_string_text(name);

    return text.len ? page_url(before, text, "") : json_null();
}

/* The texts of a list. */
static json_t *texts_of(const json_t *list)
{
    json_t *texts = json_array(), *text;
    size_t i;

    json_array_foreach (list, i, text)
        json_array_append_new(texts, page_value(text));
    return texts;
}

json_t *job_row(const json_t *job)
{
    const json_t *id = json_object_get(job, "job_id"), *queue = json_object_get(job, "job_queue");
    const json_t *agent = json_object_get(job, "agent"),
                 *created = json_object_get(job, "created_at");
    const json_t *started = json_object_get(job, "started_at"),
                 *ended = json_object_get(job, "ended_at");
    struct text text = json_string_text(id);

    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "id",
        page_value(id), "short",
        page_text((struct text){text.s, text.len < SHORT_ID ? text.len : SHORT_ID}), "url",
        url_of("/jobs/", id), "name", page_short(json_object_get(job, "name"), CELL_MAX), "queue",
        page_value(queue), "queue_url", url_of("/queues/", queue), "state",
        page_short(json_object_get(job, "job_state"), CELL_MAX), "outcome",
        job_outcome(json_object_get(job, "job_state"), json_object_get(job, "status"),
                    json_object_get(job, "end_reason")),
        "agent", page_value(agent), "agent_url", url_of("/agents/", agent), "submitted_by",
        page_value(json_object_get(job, "submitted_by")), "priority",
        page_value(json_object_get(job, "job_priority")), "created", page_time_of(created),
        "waited", span_between(created, json_is_integer(started) ? started : ended), "took",
        span_between(started, ended), "tags", texts_of(json_object_get(job, "tags")));
}

/* Jobs of a list that is cut. */
struct cut {
    json_t *jobs;
    int64_t limit;
};

static bool take(void *arg, struct text name, json_t *job)
{
    struct cut *cut = arg;
    bool full = (int64_t)json_array_size(cut->jobs) == cut->limit;

    (void)name;
    if (full)
        json_decref(job);
    else
        json_array_append_new(cut->jobs, job);
    return !full;
}

enum err jobs_read(struct store *s, const struct job_filter *filter, int64_t limit, json_t **ret,
                   bool *ret_more)
{
    struct cut cut = {json_array(), limit};
    struct list_page page = {.limit = limit, .take = take, .arg = &cut};
    struct job_filter f = *filter;

    if (!f.until_ms)
        f.until_ms = INT64_MAX / 1000;
    enum err e = store_jobs_list(s, &f, &page);
    if (e) {
        json_decref(cut.jobs);
        return e;
    }
    *ret = cut.jobs;
    *ret_more = *page.next != '\0';
    return ERR_OK;
}

enum err jobs_read_next(struct store *s, struct text queue, int64_t limit, json_t **ret)
{
    struct cut cut = {json_array(), limit};
    enum err e = store_queue_next(s, queue, limit, take, &cut);

    if (e)
        json_decref(cut.jobs);
    else
        *ret = cut.jobs;
    return e;
}

static bool take_named(void *arg, struct text name, json_t *job)
{
    json_object_setn_new(arg, name.s, name.len, job);
    return true;
}

enum err jobs_read_ids(struct store *s, const json_t *ids, json_t **ret)
{
    struct text *texts = mem_alloc((json_array_size(ids) + 1) * sizeof *texts);
    json_t *jobs = json_object(), *id;
    size_t i, n = 0;

    json_array_foreach (ids, i, id) {
        struct text text = json_string_text(id);
        if (n < JOBS_SHOWN_MAX && text.s && job_id_valid(text.s, text.len))
            texts[n++] = text;
    }
    enum err e = n ? store_jobs_show(s, texts, n, take_named, jobs) : ERR_OK;
    free(texts);
    if (e)
        json_decref(jobs);
    else
        *ret = jobs;
    return e;
}
