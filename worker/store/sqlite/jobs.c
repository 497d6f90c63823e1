/* Jobs: add, read, position. */
#include "worker/store/sqlite/job.h"

#include <stdlib.h>
#include <string.h>

static enum err add(struct sqlite *q, struct job_new *job)
{
    struct job_text t;
    int64_t id;
    enum err e = sqlite_job_text_make(&t, job);

    if (!e)
        e = sqlite_write_begin(q);
    if (!e) {
        job->added = true;
        e = job->given ? sqlite_job_put_given(q, &t, &job->added) : sqlite_job_insert(q, &t, &id);
        e = sqlite_write_end(q, e);
        job->added = job->added && !e;
        if (e == ERR_CONFLICT) /* a repeat: its job is stored already */
            e = ERR_OK;
    }
    sqlite_job_text_free(&t);
    return e;
}

enum err sqlite_jobs_add(struct store *s, struct job_new *jobs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        jobs[i].err = add(sqlite_of(s), &jobs[i]);
    return ERR_OF_ALL(jobs, n);
}

static enum err get(struct sqlite *q, struct job_read *read)
{
    struct query r = query_new(q, SQL_JOB_DATA);

    query_text(&r, read->job_id);
    enum err e = query_step(&r);
    if (!e) {
        json_t *data = sqlite_job_data_of(&r, 0, 1);
        if (data)
            read->value = data;
        else
            e = ERR_INTERNAL;
    }
    query_end(&r);
    return e;
}

enum err sqlite_jobs_get(struct store *s, struct job_read *reads, size_t n)
{
    for (size_t i = 0; i < n; i++)
        reads[i].err = get(sqlite_of(s), &reads[i]);
    return ERR_OK;
}

enum err sqlite_job_position(struct store *s, struct text job_id, int64_t *ret)
{
    struct query r = query_new(sqlite_of(s), SQL_JOB_POSITION);

    query_text(&r, job_id);
    enum err e = query_step(&r);
    if (!e)
        *ret = query_col_int(&r, 0);
    query_end(&r);
    return e;
}
