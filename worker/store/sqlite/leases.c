/* Leases of running jobs, and jobs whose lease has expired. */
#include "worker/store/sqlite/job.h"

#include "worker/jobs/lease.h"

#include <string.h>

/* Whether the lease is due. ERR_NOT_FOUND: not due, or no such job. */
static enum err look(struct sqlite *q, const struct lease_renewal *l, int64_t *ret_id,
                     int64_t *ret_end_ms)
{
    struct query r = query_new(q, SQL_LEASE_OF);

    query_text(&r, l->job_id);
    enum err e = query_step(&r);
    if (!e) {
        struct lease_job job = {.state = query_col_str(&r, 1),
                                .owner = query_col_text(&r, 2),
                                .lease_ms = query_col_int(&r, 3),
                                .open = query_col_int(&r, 4) == 1,
                                .global_timeout = query_col_int(&r, 5),
                                .reserve_timeout = query_col_int(&r, 6)};
        *ret_id = query_col_int(&r, 0);
        e = lease_is_due(&job, l, ret_end_ms) ? ERR_OK : ERR_NOT_FOUND;
    }
    query_end(&r);
    return e;
}

static enum err renew(struct sqlite *q, const struct lease_renewal *l)
{
    int64_t id = 0, end_ms = 0;
    enum err e = look(q, l, &id, &end_ms);

    if (!e)
        e = sqlite_write_begin(q);
    if (e)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    e = look(q, l, &id, &end_ms);
    if (!e) {
        struct query r = query_new(q, SQL_LEASE_PUT);
        query_int(&r, id);
        query_int(&r, end_ms);
        e = query_run(&r);
    }
    e = sqlite_write_end(q, e);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err sqlite_leases_renew(struct store *s, const struct lease_renewal *renewals, size_t n)
{
    enum err e = ERR_OK;

    for (size_t i = 0; !e && i < n; i++)
        e = renew(sqlite_of(s), &renewals[i]);
    return e;
}

/* Appends the rows of an ORPHAN to those that there are, and ends the statement. */
static enum err take_orphans(struct query *r, struct orphan *orphans, size_t *n)
{
    enum err e = ERR_OK;

    while (*n < SWEEP_MAX && (e = query_step(r)) == ERR_OK)
        orphans[(*n)++] = (struct orphan){.job_id = query_col_given(r, 0),
                                          .queue = query_col_given(r, 1),
                                          .state = query_col_given(r, 2),
                                          .owner = query_col_given(r, 3),
                                          .lease_ms = query_col_int(r, 4),
                                          .reruns = query_col_int(r, 5),
                                          .webhook = query_col_given(r, 6),
                                          .allowed = query_col_int(r, 7),
                                          .claimed_ms = query_col_int(r, 8)};
    query_end(r);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err sqlite_leases_overdue(struct store *s, int64_t before_ms, struct orphan *orphans,
                               size_t *ret_n)
{
    struct query r = query_new(sqlite_of(s), SQL_LEASES_OVERDUE);

    query_int(&r, before_ms);
    query_int(&r, SWEEP_MAX);
    *ret_n = 0;
    return take_orphans(&r, orphans, ret_n);
}

enum err sqlite_agents_left(struct store *s, const struct agent_since *agents, size_t n,
                            struct orphan *orphans, size_t *ret_n)
{
    enum err e = ERR_OK;

    *ret_n = 0;
    for (size_t i = 0; !e && i < n; i++) {
        struct query r = query_new(sqlite_of(s), SQL_AGENT_LEFT);
        query_text(&r, agents[i].name);
        query_int(&r, agents[i].before_ms);
        query_int(&r, SWEEP_MAX);
        e = take_orphans(&r, orphans, ret_n);
    }
    return e;
}

enum err sqlite_orphan_get(struct store *s, struct text job_id, struct orphan *ret)
{
    struct query r = query_new(sqlite_of(s), SQL_ORPHAN);
    struct orphan found[SWEEP_MAX];
    size_t n = 0;

    query_text(&r, job_id);
    enum err e = take_orphans(&r, found, &n);
    if (!e && !n)
        return ERR_NOT_FOUND;
    if (!e)
        *ret = found[0];
    return e;
}

static enum err exclude(struct sqlite *q, int64_t id, const char *agent)
{
    struct query data = query_new(q, SQL_EXCLUDE_DATA);

    query_int(&data, id);
    query_str(&data, agent);
    enum err e = query_run(&data);
    if (e)
        return e;
    struct query r = query_new(q, SQL_EXCLUDE);
    query_int(&r, id);
    return query_run(&r);
}

/* Makes the job wait again, as a new attempt. */
static enum err rerun(struct sqlite *q, int64_t id, const char *reason)
{
    static const enum sql steps[] = {SQL_RESULT_DROP, SQL_JOB_RERUN};
    enum err e = sqlite_job_reason_put(q, id, reason);

    if (!e)
        e = sqlite_job_keep_attempt(q, id);
    for (size_t i = 0; !e && i < sizeof steps / sizeof *steps; i++) {
        struct query r = query_new(q, steps[i]);
        query_int(&r, id);
        e = query_run(&r);
    }
    return e ? e : sqlite_history_add(q, id, "waiting", reason);
}

static enum err end_orphan(struct sqlite *q, const struct orphan_end *end)
{
    struct query r = query_new(q, SQL_LEASE_IS);
    int64_t id = 0;

    query_text(&r, end->job_id);
    query_int(&r, end->lease_ms);
    enum err e = query_step(&r);
    if (!e)
        id = query_col_int(&r, 0);
    query_end(&r);
    if (e)
        return e;
    if (end->rerun && end->exclude)
        e = exclude(q, id, end->exclude);
    if (e)
        return e;
    return end->rerun ? rerun(q, id, end->reason) : sqlite_job_end(q, id, "cancelled", end->reason);
}

enum err sqlite_orphan_end(struct store *s, const struct orphan_end *end)
{
    struct sqlite *q = sqlite_of(s);
    enum err e = sqlite_write_begin(q);

    return e ? e : sqlite_write_end(q, end_orphan(q, end));
}

/* ---- holders ---- */

static enum err holder(struct sqlite *q, struct job_holder *job)
{
    struct query r = query_new(q, SQL_HOLDER);

    query_text(&r, job->job_id);
    enum err e = query_step(&r);
    if (!e) {
        job->waits = strcmp(query_col_str(&r, 0), "waiting") == 0;
        job->owner = query_col_given(&r, 1);
        job->tried = query_col_int(&r, 2) != 0;
        job->former = query_col_given(&r, 3);
    }
    query_end(&r);
    return e;
}

enum err sqlite_job_holders(struct store *s, struct job_holder *jobs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        jobs[i].err = holder(sqlite_of(s), &jobs[i]);
    return ERR_OK;
}
