/* Waiting jobs whose queue_timeout is over. */
#include "worker/store/mongo/job.h"

#include <stdio.h>

/* Cancels the job if it did not change since the read. */
static enum err cancel(struct mongo *m, const bson_t *job, struct queue_timeouts *t)
{
    struct text job_id = doc_text(job, "job_id");
    enum err e = db_set(m, JOBS,
                        doc_of("_id: ?, " STATE_PATH ": 'waiting', wait_until: ?",
                               v_field(job, "_id"), v_field(job, "wait_until")),
                        job_ended(m, QUEUE_TIMEOUT_REASON));

    if (!e && job_id.s)
        snprintf(t->cancelled_ids[t->cancelled++], JOB_ID_SIZE, "%.*s", (int)job_id.len, job_id.s);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err mongo_queue_timeouts(struct store *s, struct queue_timeouts *t)
{
    struct mongo *m = mongo_of(s);
    struct db_found f;
    size_t seen = 0;
    enum err e =
        DB_FIND(m, &f, .collection = JOBS,
                .filter = doc_of(STATE_PATH ": 'waiting', wait_until: {$lt: ?}", v_date(t->now_ms)),
                .fields = "job_id: true, wait_until: true", .index = IX_TIMEOUT, .in_order = true,
                .limit = SWEEP_MAX);

    t->cancelled = 0;
    t->more = false;
    if (e)
        return e;
    for (; !e && seen < SWEEP_MAX && db_next(&f); seen++)
        e = cancel(m, &f.doc, t);
    db_end(&f);
    t->more = seen == SWEEP_MAX;
    return e;
}
