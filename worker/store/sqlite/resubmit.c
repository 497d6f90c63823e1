/* Jobs whose id the client chose: such a job may be there already. */
#include "worker/store/sqlite/job.h"

#include <string.h>

#define ATTEMPTS_MAX 20

/* The job as it is stored. */
struct stored {
    int64_t id;
    int64_t created_us;
    bool waits;
    bool same; /* data as what was sent now */
};

static bool same_data(const struct query *r, int data, int attachments, const struct job_text *t)
{
    struct text old_text = query_col_text(r, data);

    /* What was uploaded meanwhile stays, so only whether there are attachments counts. */
    if ((query_col_text(r, attachments).s != NULL) != (t->attachments != NULL))
        return false;
    if (sqlite_text_is(old_text, (struct text){t->data, t->data_len}))
        return true;
    json_t *old = query_col_json(r, data);
    json_t *sent = json_loadb(t->data, t->data_len, JSON_ALLOW_NUL, NULL);
    bool same = old && sent && json_equal(old, sent);
    json_decref(old);
    json_decref(sent);
    return same;
}

static enum err find(struct sqlite *q, const struct job_text *t, struct stored *ret)
{
    struct query r = query_new(q, SQL_JOB_FOUND);

    query_str(&r, t->job->job_id);
    enum err e = query_step(&r);
    if (!e) {
        ret->id = query_col_int(&r, 0);
        ret->created_us = query_col_int(&r, 1);
        ret->waits = sqlite_text_is(query_col_text(&r, 2), (struct text){"waiting", 7});
        ret->same = same_data(&r, 4, 3, t);
    }
    query_end(&r);
    return e;
}

/* Runs a statement on the job's number, and perhaps a further one. */
static enum err run(struct sqlite *q, enum sql which, int64_t id, int64_t more)
{
    struct query r = query_new(q, which);

    query_int(&r, id);
    if (more)
        query_int(&r, more);
    return query_run(&r);
}

enum err sqlite_job_keep_attempt(struct sqlite *q, int64_t id)
{
    enum err e = run(q, SQL_ATTEMPT_ADD, id, 0);

    return e ? e : run(q, SQL_ATTEMPTS_CUT, id, ATTEMPTS_MAX);
}

/* Makes the stored job this one. */
static enum err renew(struct sqlite *q, int64_t id, const struct job_text *t)
{
    struct query r = query_new(q, SQL_JOB_RENEW);

    sqlite_job_bind(&r, t);
    enum err e = query_run(&r);
    if (!e)
        e = run(q, SQL_TAGS_DROP, id, 0);
    if (!e)
        e = sqlite_job_data_put(q, id, t);
    return e ? e : run(q, SQL_RESULT_DROP, id, 0);
}

enum err sqlite_job_put_given(struct sqlite *q, const struct job_text *t)
{
    struct stored old;
    enum err e = find(q, t, &old);

    if (e == ERR_NOT_FOUND)
        return sqlite_job_insert(q, t);
    if (e)
        return e;
    if (t->job->asked.repeat && old.created_us >= t->job->asked.received_us)
        return ERR_OK; /* stored already, or stored and then replaced */
    if (old.waits && old.same)
        return ERR_OK;
    if (!old.waits)
        e = sqlite_job_keep_attempt(q, old.id);
    return e ? e : renew(q, old.id, t);
}
