/* Leases of running jobs, and jobs whose lease has expired. */
#include "worker/store/mongo/agent_jobs.h"
#include "worker/store/mongo/job.h"

#include "common/mem.h"
#include "worker/jobs/lease.h"

#include <stdlib.h>
#include <string.h>

#define TIMEOUT_PATH "job_data.global_timeout"
#define RESERVE_PATH "job_data.reserve_data.timeout"
#define WEBHOOK_PATH "job_data.job_status_webhook"
#define RERUN_PATH   "job_data." RERUN_FIELD

/* ---- renewals ---- */

struct renewing {
    const struct lease_renewal *renewals;
    struct db_batch batch;
};

/* Renews the lease if the job did not change since the read. */
static void renew_found(void *arg, size_t i, const bson_t *doc)
{
    struct renewing *r = arg;
    const char *state = doc_str(doc, STATE_PATH);
    bson_iter_t it;
    struct lease_job job = {.state = state ? state : "",
                            .owner = doc_text(doc, "claim.owner"),
                            .lease_ms = doc_date(doc, "lease"),
                            .open = doc_at(doc, "claim.open", &it),
                            .global_timeout = doc_int(doc, TIMEOUT_PATH, 0),
                            .reserve_timeout = doc_int(doc, RESERVE_PATH, 0)};
    int64_t end_ms;

    if (!lease_is_due(&job, &r->renewals[i], &end_ms))
        return;
    DB_ADD_UPDATE(&r->batch,
                  .filter = doc_of("_id: ?, " STATE_PATH ": ?, lease: ?", v_field(doc, "_id"),
                                   v_field(doc, STATE_PATH), v_field(doc, "lease")),
                  .update = doc_of("$set: {lease: ?}, $unset: {claim.open: true}", v_date(end_ms)),
                  .index = IX_ID);
}

enum err mongo_leases_renew(struct store *s, const struct lease_renewal *renewals, size_t n)
{
    struct renewing r = {renewals, DB_BATCH(JOBS)};
    struct job_finder f = {renewals, sizeof *renewals,
                           STATE_PATH
                           ": true, claim.owner: true, claim.open: true, lease: true, " TIMEOUT_PATH
                           ": true, " RESERVE_PATH ": true",
                           renew_found, &r};

    r.batch.unordered = r.batch.light = true;
    enum err e = job_find_all(mongo_of(s), &f, n);
    if (!e)
        return db_run(mongo_of(s), &r.batch, NULL);
    db_drop(&r.batch);
    return e;
}

/* ---- orphans ---- */

static char *copy_at(const bson_t *doc, const char *path)
{
    struct text t = doc_text(doc, path);

    return t.s ? mem_strndup(t.s, t.len) : NULL;
}

#define ORPHAN_FIELDS                                                                              \
    "job_id: true, job_data.job_queue: true, " STATE_PATH                                          \
    ": true, lease: true, claim.owner: true, claim.at: true, claim.reruns: true, " RERUN_PATH      \
    ": true, " WEBHOOK_PATH ": true"

static struct orphan orphan_of(const bson_t *doc)
{
    return (struct orphan){.job_id = copy_at(doc, "job_id"),
                           .queue = copy_at(doc, "job_data.job_queue"),
                           .state = copy_at(doc, STATE_PATH),
                           .owner = copy_at(doc, "claim.owner"),
                           .webhook = copy_at(doc, WEBHOOK_PATH),
                           .lease_ms = doc_date(doc, "lease"),
                           .reruns = doc_int(doc, "claim.reruns", 0),
                           .allowed = doc_int(doc, RERUN_PATH, 0),
                           .claimed_ms = doc_date(doc, "claim.at")};
}

enum err mongo_leases_overdue(struct store *s, int64_t before_ms, struct orphan *orphans,
                              size_t *ret_n)
{
    struct db_found f;
    size_t n = 0;
    enum err e = DB_FIND(
        mongo_of(s), &f, .collection = JOBS, .filter = doc_of("lease: {$lt: ?}", v_date(before_ms)),
        .fields = ORPHAN_FIELDS, .index = IX_LEASE, .in_order = true, .limit = SWEEP_MAX);

    if (e)
        return e;
    while (n < SWEEP_MAX && db_next(&f))
        orphans[n++] = orphan_of(&f.doc);
    db_end(&f);
    *ret_n = n;
    return ERR_OK;
}

/* Whether the agent of a job claimed it before its time. */
static bool is_left(const bson_t *job, const struct agent_since *agents, size_t n)
{
    struct text owner = doc_text(job, "claim.owner");

    for (size_t i = 0; i < n; i++)
        if (text_equal(agents[i].name, owner) && doc_date(job, "claim.at") < agents[i].before_ms)
            return true;
    return false;
}

enum err mongo_agents_left(struct store *s, const struct agent_since *agents, size_t n,
                           struct orphan *orphans, size_t *ret_n)
{
    struct text *names = mem_alloc(n * sizeof *names);
    struct db_found f;

    for (size_t i = 0; i < n; i++)
        names[i] = agents[i].name;
    *ret_n = 0;
    enum err e =
        DB_FIND(mongo_of(s), &f, .collection = JOBS,
                .filter = doc_of("claim.owner: {$in: ?}, lease: {$exists: true}, claim.open: null",
                                 v_texts(names, n)),
                .fields = ORPHAN_FIELDS, .index = IX_OWNED, .limit = SWEEP_MAX);
    free(names);
    if (e)
        return e;
    while (*ret_n < SWEEP_MAX && db_next(&f))
        if (is_left(&f.doc, agents, n))
            orphans[(*ret_n)++] = orphan_of(&f.doc);
    db_end(&f);
    return ERR_OK;
}

enum err mongo_orphan_get(struct store *s, struct text job_id, struct orphan *ret)
{
    struct db_found f;
    enum err e = job_find(mongo_of(s), job_id, ORPHAN_FIELDS, &f);

    if (!e)
        *ret = orphan_of(&f.doc);
    db_end(&f);
    return e;
}

/* A stage that adds an agent to those that must not get the job; none where it is NULL. */
static struct doc_value exclusion(const char *agent)
{
    if (!agent)
        return v_none();
    return v_own(doc_of("$set: {job_data.exclude_agents: {$concatArrays: [{$ifNull: "
                        "['$job_data.exclude_agents', []]}, [{$literal: ?}]]}}",
                        v_str(agent)));
}

/* The pipeline that makes the job wait again and keeps the present run as an attempt. */
static bson_t *rerun(struct mongo *m, const struct orphan_end *end, int keep)
{
    return doc_of(
        "[{$set: {result_data." END_REASON
        ": {$literal: ?}}}, ?, ?, {$set: {result_data: {$literal: "
        "{job_state: 'waiting'}}, claim.reruns: {$add: [{$ifNull: ['$claim.reruns', 0]}, 1]}, "
        "history: ?}}, {$unset: ['started_at', 'lease', 'wait_until', 'claim.token', "
        "'claim.owner', 'claim.at', "
        "'claim.open']}, ?]",
        v_str(end->reason), v_own(job_attempts(keep)), exclusion(end->exclude),
        v_own(job_history_more(m, "waiting", end->reason)),
        keep > 0 ? v_own(job_size_check(STORE_DOCUMENT_MAX - JOB_STATE_ROOM)) : v_none());
}

/* Changes the job if its lease did not change since the read. */
static enum err end_with(struct mongo *m, const struct orphan_end *end, int keep)
{
    struct db_done done;
    enum err e = DB_UPDATE(
        m, JOBS, &done,
        .filter = doc_of("lease: ?, job_id: ?", v_date(end->lease_ms), v_text(end->job_id)),
        .update = end->rerun ? rerun(m, end, keep) : job_ended(m, end->reason), .index = IX_LEASE);

    return e || done.matched ? e : ERR_NOT_FOUND;
}

enum err mongo_orphan_end(struct store *s, const struct orphan_end *end)
{
    enum err e = ERR_TOO_LARGE;

    for (size_t i = 0; e == ERR_TOO_LARGE && i < ATTEMPTS_TRIES; i++)
        e = end_with(mongo_of(s), end, attempts_kept[i]);
    if (!e)
        agent_job_end(mongo_of(s), end->job_id);
    return e;
}

/* ---- holders ---- */

static void holder_found(void *arg, size_t i, const bson_t *doc)
{
    struct job_holder *job = &((struct job_holder *)arg)[i];
    bson_iter_t attempts;
    bson_t attempt;

    job->err = ERR_OK;
    job->waits = doc_text_is(doc, STATE_PATH, "waiting");
    job->owner = copy_at(doc, "claim.owner");
    if (!doc_list(doc, "attempts", &attempts))
        return;
    while (bson_iter_next(&attempts) && doc_view(&attempts, &attempt)) {
        free(job->former);
        job->former = copy_at(&attempt, "owner");
        job->tried = doc_date(&attempt, "started_at") != 0;
    }
}

enum err mongo_job_holders(struct store *s, struct job_holder *jobs, size_t n)
{
    struct job_finder f = {
        jobs, sizeof *jobs,
        STATE_PATH ": true, claim.owner: true, attempts.owner: true, attempts.started_at: true",
        holder_found, jobs};

    for (size_t i = 0; i < n; i++)
        jobs[i].err = ERR_NOT_FOUND;
    return job_find_all(mongo_of(s), &f, n);
}
