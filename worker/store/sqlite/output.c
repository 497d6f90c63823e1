/* Live output of jobs, kept until it is read. */
#include "worker/store/sqlite/sqlite.h"

/* All statements here have the job's id and the type as first parameters. */
static struct query of_job(struct sqlite *q, enum sql which, struct text job_id,
                           enum output_type type)
{
    struct query r = query_new(q, which);

    query_text(&r, job_id);
    query_int(&r, type);
    return r;
}

/* Whether the request has run already. ERR_NOT_FOUND: it has not. */
static enum err stored_already(struct sqlite *q, const struct output_append *a)
{
    struct query r = of_job(q, SQL_OUTPUT_SEEN, a->job_id, a->type);

    query_str(&r, a->asked.request_id);
    return query_probe(&r);
}

static enum err append(struct sqlite *q, const struct output_append *a)
{
    if (a->asked.repeat) {
        enum err e = stored_already(q, a);
        if (e != ERR_NOT_FOUND)
            return e;
    }
    struct query r = of_job(q, SQL_OUTPUT_ADD, a->job_id, a->type);
    query_str(&r, a->asked.request_id);
    query_int(&r, sqlite_now_ms(q));
    query_blob(&r, a->text);
    return query_run(&r);
}

static enum err append_one(struct sqlite *q, const struct output_append *a)
{
    if (a->text.len >= STORE_DOCUMENT_MAX)
        return ERR_TOO_LARGE;
    enum err e = sqlite_write_begin(q);
    return e ? e : sqlite_write_end(q, append(q, a));
}

enum err sqlite_outputs_append(struct store *s, struct output_append *appends, size_t n)
{
    for (size_t i = 0; i < n; i++)
        appends[i].err = append_one(sqlite_of(s), &appends[i]);
    return ERR_OK;
}

/* Reads the oldest entries that fit. *ret_last: the id of the last of them. */
static enum err read_entries(struct sqlite *q, struct text job_id, enum output_type type,
                             json_t *entries, int64_t *ret_last)
{
    struct query r = of_job(q, SQL_OUTPUT, job_id, type);
    size_t size = 0;
    enum err e;

    while ((e = query_step(&r)) == ERR_OK) {
        struct text entry = query_col_text(&r, 1);
        size += entry.len + 1;
        if (size > STORE_DOCUMENT_MAX && json_array_size(entries))
            break;
        json_array_append_new(entries, json_stringn(entry.s, entry.len));
        *ret_last = query_col_int(&r, 0);
    }
    query_end(&r);
    if (e == ERR_NOT_FOUND && json_array_size(entries))
        return ERR_OK;
    return e;
}

static enum err take(struct sqlite *q, struct text job_id, enum output_type type, json_t *entries)
{
    int64_t last = 0;
    enum err e = read_entries(q, job_id, type, entries, &last);

    if (e)
        return e;
    struct query r = of_job(q, SQL_OUTPUT_DROP, job_id, type);
    query_int(&r, last);
    return query_run(&r);
}

/* Probe with a read first: polling readers must not queue for the write lock. */
static enum err any(struct sqlite *q, struct text job_id, enum output_type type)
{
    struct query r = of_job(q, SQL_OUTPUT, job_id, type);

    return query_probe(&r);
}

enum err sqlite_output_take(struct store *s, struct text job_id, enum output_type type, bool peek,
                            json_t **ret)
{
    struct sqlite *q = sqlite_of(s);
    json_t *entries = json_array();
    int64_t last;
    enum err e;

    if (peek) {
        e = read_entries(q, job_id, type, entries, &last);
    } else {
        e = any(q, job_id, type);
        if (!e)
            e = sqlite_write_begin(q);
        if (!e)
            e = sqlite_write_end(q, take(q, job_id, type, entries));
    }
    if (e)
        json_decref(entries);
    else
        *ret = entries;
    return e;
}

/* ---- live output as pieces of a log ---- */

/* Adds the changes of the job's state; none for an unknown job. */
static enum err note_changes(struct sqlite *q, struct text job_id, struct live_output *l)
{
    struct query r = query_new(q, SQL_HISTORY);
    enum err e;

    query_text(&r, job_id);
    while ((e = query_step(&r)) == ERR_OK)
        live_output_change(l, query_col_text(&r, 0), query_col_int(&r, 1));
    query_end(&r);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err sqlite_output_view(struct store *s, struct text job_id, enum output_type type,
                            log_take_fn *take_entry, void *arg)
{
    struct live_output live = {.take = take_entry, .arg = arg};
    struct query r = of_job(sqlite_of(s), SQL_OUTPUT_VIEW, job_id, type);
    bool more = true;
    enum err e;

    while (more && (e = query_step(&r)) == ERR_OK) {
        if (live.number == 0 && (e = note_changes(sqlite_of(s), job_id, &live)))
            break;
        more = live_output_give(&live, query_col_text(&r, 1), query_col_int(&r, 0));
    }
    query_end(&r);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}
