/* Live output of jobs, kept until it is read. */
#include "worker/store/sqlite/live.h"

/* A post that is there already changes nothing. */
static enum err append(struct sqlite *q, const struct output_append *a)
{
    struct query r = query_of_type(q, SQL_OUTPUT_ADD, a->job_id, a->type);

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

/* ---- taking ---- */

/* Appends what a query gives, at least one entry, as many as fit; ends it. *ret_last: the id of the
 * last of them. ERR_NOT_FOUND: nothing. */
static enum err read_entries(struct query *r, const struct live_take *t, int64_t *ret_last)
{
    size_t size = 0, n = 0;
    enum err e;

    for (; (e = query_step(r)) == ERR_OK; n++) {
        struct text entry = query_col_text(r, 1);
        size += entry.len + 1;
        if (size > t->max && n)
            break;
        live_entry_add(t->entries, entry);
        *ret_last = query_col_int(r, 0);
    }
    query_end(r);
    return e == ERR_NOT_FOUND && n ? ERR_OK : e;
}

/* What the request took before. ERR_NOT_FOUND. */
static enum err take_again(struct sqlite *q, struct live_take *t)
{
    struct query r = query_of_type(q, SQL_OUTPUT_AGAIN, t->job_id, t->type);
    int64_t last;

    query_str(&r, t->asked.request_id);
    return read_entries(&r, t, &last);
}

static enum err peek(struct sqlite *q, const struct live_take *t, int64_t *ret_last)
{
    struct query r = query_of_type(q, SQL_OUTPUT, t->job_id, t->type);

    return read_entries(&r, t, ret_last);
}

/* Notes who has the entries up to the last one. Texts that others took before are not needed any
 * more. */
static enum err mark(struct sqlite *q, const struct live_take *t, int64_t last)
{
    struct query r = query_of_type(q, SQL_OUTPUT_FORGET, t->job_id, t->type);
    enum err e = query_run(&r);

    if (e)
        return e;
    r = query_of_type(q, SQL_OUTPUT_TAKE, t->job_id, t->type);
    query_str(&r, t->asked.request_id);
    query_int(&r, sqlite_now_ms(q));
    query_int(&r, last);
    return query_run(&r);
}

static enum err take(struct sqlite *q, struct live_take *t)
{
    int64_t last = 0;
    enum err e = peek(q, t, &last);

    return e ? e : mark(q, t, last);
}

enum err sqlite_output_take(struct store *s, struct live_take *t)
{
    static const struct live_source output = {SQL_OUTPUT, take_again, take};
    int64_t last;

    t->again = false;
    return t->peek ? peek(sqlite_of(s), t, &last) : sqlite_live_take(sqlite_of(s), t, &output);
}

enum err sqlite_output_purge(struct sqlite *q, int64_t before_ms, int limit, bool *ret_more)
{
    struct query r = query_new(q, SQL_OUTPUT_OLD);

    *ret_more = false;
    query_int(&r, before_ms);
    enum err e = query_probe(&r);
    if (e)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    e = sqlite_write_begin(q);
    if (e)
        return e;
    r = query_new(q, SQL_OUTPUT_PURGE);
    query_int(&r, before_ms);
    query_int(&r, limit);
    e = query_run(&r);
    *ret_more = !e && query_changes(&r) == limit;
    return sqlite_write_end(q, e);
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
    struct query r = query_of_type(sqlite_of(s), SQL_OUTPUT_VIEW, job_id, type);
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
