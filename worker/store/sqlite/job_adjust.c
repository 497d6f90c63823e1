/* Changes of jobs that wait or are reserved. */
#include "worker/store/sqlite/job.h"

#include "common/clock.h"
#include "worker/jobs/lease.h"

#include <string.h>

struct adjusted {
    int64_t id, timeout_s, since_ms;
};

/* ERR_CONFLICT: the job is in another state. */
static enum err look(struct sqlite *q, const struct job_adjust *a, struct adjusted *ret)
{
    struct query r = query_new(q, SQL_ADJUST_LOOK);

    query_text(&r, a->job_id);
    enum err e = query_step(&r);
    if (!e) {
        ret->id = query_col_int(&r, 0);
        ret->timeout_s = query_col_int(&r, 2);
        ret->since_ms = query_col_int(&r, 3);
        if (strcmp(query_col_str(&r, 1), a->extends ? "reserve" : "waiting") != 0)
            e = ERR_CONFLICT;
    }
    query_end(&r);
    if (ret->timeout_s <= 0)
        ret->timeout_s = RESERVE_DEFAULT;
    return e;
}

static enum err set(struct sqlite *q, enum sql which, int64_t id, int64_t value)
{
    struct query r = query_new(q, which);

    query_int(&r, id);
    query_int(&r, value);
    return query_run(&r);
}

static enum err extend(struct sqlite *q, const struct job_adjust *a, const struct adjusted *job)
{
    char until[CLOCK_TEXT_SIZE];
    int64_t timeout_s = job->timeout_s + a->seconds;

    if (timeout_s > a->max_s)
        return ERR_FULL;
    clock_rfc3339((job->since_ms ? job->since_ms : sqlite_now_ms(q)) + timeout_s * 1000, until);
    enum err e = set(q, SQL_RESERVE_DATA, job->id, timeout_s);
    if (e)
        return e;
    struct query r = query_new(q, SQL_RESERVED_UNTIL);
    query_int(&r, job->id);
    query_str(&r, until);
    return query_run(&r);
}

static enum err adjust(struct sqlite *q, const struct job_adjust *a)
{
    struct adjusted job = {0};
    bool fresh = false;
    enum err found = look(q, a, &job), e = found;

    if (!e || e == ERR_CONFLICT)
        e = sqlite_job_request(q, job.id, a->asked.request_id, &fresh);
    if (e || !fresh)
        return e;
    if (found)
        return found;
    if (a->extends)
        return extend(q, a, &job);
    e = set(q, SQL_PRIORITY_PUT, job.id, a->priority);
    return e ? e : set(q, SQL_PRIORITY_DATA, job.id, a->priority);
}

enum err sqlite_job_adjust(struct store *s, const struct job_adjust *a)
{
    struct sqlite *q = sqlite_of(s);
    enum err e = sqlite_write_begin(q);

    return e ? e : sqlite_write_end(q, adjust(q, a));
}
