/* Waiting jobs whose queue_timeout is over. */
#include "worker/store/sqlite/job.h"

#include <stdio.h>

static enum err look(struct sqlite *q, struct queue_timeouts *t, int64_t ids[SWEEP_MAX])
{
    struct query r = query_new(q, SQL_QUEUE_TIMEOUTS);
    enum err e = ERR_OK;

    query_int(&r, t->now_ms);
    query_int(&r, SWEEP_MAX);
    t->cancelled = 0;
    while (t->cancelled < SWEEP_MAX && (e = query_step(&r)) == ERR_OK) {
        struct text job_id = query_col_text(&r, 1);
        snprintf(t->cancelled_ids[t->cancelled], JOB_ID_SIZE, "%.*s", (int)job_id.len, job_id.s);
        ids[t->cancelled++] = query_col_int(&r, 0);
    }
    query_end(&r);
    t->more = t->cancelled == SWEEP_MAX;
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err sqlite_queue_timeouts(struct store *s, struct queue_timeouts *t)
{
    struct sqlite *q = sqlite_of(s);
    int64_t ids[SWEEP_MAX];
    enum err e = look(q, t, ids);

    if (e || !t->cancelled) /* probe first: most steps find nothing and need no write lock */
        return e;
    e = sqlite_write_begin(q);
    if (!e) {
        e = look(q, t, ids);
        for (size_t i = 0; !e && i < t->cancelled; i++)
            e = sqlite_job_end(q, ids[i], "cancelled", QUEUE_TIMEOUT_REASON);
        e = sqlite_write_end(q, e);
    }
    if (e)
        t->cancelled = 0;
    return e;
}
