/* What pages show of an agent beside its document: log, provision log, how long it has a job. */
#include "worker/store/sqlite/sqlite.h"

#include "worker/jobs/lease.h"

enum err sqlite_agent_log(struct store *s, struct text name, json_t **ret)
{
    struct query r = query_new(sqlite_of(s), SQL_AGENT_LOG);
    json_t *lines = NULL;

    query_text(&r, name);
    enum err e = query_step(&r);
    if (!e && !(lines = query_col_json(&r, 0)))
        e = ERR_INTERNAL;
    query_end(&r);
    if (!e)
        *ret = lines;
    return e;
}

enum err sqlite_provision_list(struct store *s, struct text agent, json_t **ret)
{
    struct query r = query_new(sqlite_of(s), SQL_PROVISION_LIST);
    json_t *all = json_array(), *entry;
    enum err e;

    query_text(&r, agent);
    while ((e = query_step(&r)) == ERR_OK) {
        if (!(entry = query_col_json(&r, 1)))
            continue;
        json_object_set_new(entry, "timestamp", json_integer(query_col_int(&r, 0)));
        json_array_append_new(all, entry);
    }
    query_end(&r);
    *ret = all;
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static enum err held(struct sqlite *q, struct job_held *job)
{
    struct query r = query_new(q, SQL_HELD);

    query_text(&r, job->job_id);
    enum err e = query_step(&r);
    if (!e) {
        job->lease_ms = query_col_int(&r, 0);
        job->reserved_ms =
            lease_reserved_ms(query_col_str(&r, 1), query_col_int(&r, 3), query_col_int(&r, 2));
    }
    query_end(&r);
    return e;
}

enum err sqlite_jobs_held(struct store *s, struct job_held *jobs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        jobs[i].err = held(sqlite_of(s), &jobs[i]);
    return ERR_OK;
}
