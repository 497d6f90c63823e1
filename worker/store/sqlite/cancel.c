/* Cancels jobs. */
#include "worker/store/sqlite/job.h"

#include "worker/jobs/states.h"

#include <string.h>

/* Which request cancelled the job last stays in its row, also when the job runs again: a late
 * repeat must not cancel a new attempt. */
static enum err look(struct sqlite *q, struct job_cancel *c, int64_t *ret_id, bool *ret_done)
{
    struct query r = query_new(q, SQL_CANCEL_LOOK);

    query_text(&r, c->job_id);
    enum err e = query_step(&r);
    if (!e) {
        const char *state = query_col_str(&r, 1);
        *ret_id = query_col_int(&r, 0);
        *ret_done = text_is(query_col_text(&r, 2), c->asked.request_id);
        c->waited = *ret_done ? query_col_int(&r, 3) : strcmp(state, "waiting") == 0;
        if (!*ret_done && state_is_over(state))
            e = ERR_CONFLICT;
    }
    query_end(&r);
    return e;
}

static enum err change(struct sqlite *q, struct job_cancel *c)
{
    int64_t id = 0;
    bool done = false;
    enum err e = look(q, c, &id, &done);

    if (e || done)
        return e;
    struct query r = query_new(q, SQL_CANCEL_NOTE);
    query_int(&r, id);
    query_str(&r, c->asked.request_id);
    query_int(&r, c->waited);
    e = query_run(&r);
    return e ? e : sqlite_state_put(q, id, "cancelled", 0, NULL);
}

static enum err cancel(struct sqlite *q, struct job_cancel *c)
{
    enum err e = sqlite_write_begin(q);

    return e ? e : sqlite_write_end(q, change(q, c));
}

enum err sqlite_jobs_cancel(struct store *s, struct job_cancel *cancels, size_t n)
{
    for (size_t i = 0; i < n; i++)
        cancels[i].err = cancel(sqlite_of(s), &cancels[i]);
    return ERR_OF_ALL(cancels, n);
}
