/* Leases of running jobs, and jobs whose lease has run out. */
#include "worker/store/mongo/job.h"

#include "common/clock.h"
#include "common/mem.h"
#include "worker/jobs/lease.h"

#include <stdlib.h>
#include <string.h>

#define TIMEOUT_PATH "job_data.global_timeout"
#define RESERVE_PATH "job_data.reserve_data.timeout"
#define WEBHOOK_PATH "job_data.job_status_webhook"
#define RERUN_PATH   "job_data." RERUN_FIELD

static void project(bson_t *projection, const char *const *fields)
{
    for (size_t i = 0; fields[i]; i++)
        BSON_APPEND_BOOL(projection, fields[i], true);
}

/* The text of a field, "" when there is none. Points into the document. */
static struct text text_at(const bson_t *doc, const char *path)
{
    struct text t = {0};
    bson_iter_t it;
    uint32_t len;

    if (mongo_field(doc, path, &it) && BSON_ITER_HOLDS_UTF8(&it)) {
        t.s = bson_iter_utf8(&it, &len);
        t.len = len;
    }
    return t;
}

static int64_t number_at(const bson_t *doc, const char *path)
{
    bson_iter_t it;

    return mongo_field(doc, path, &it) && BSON_ITER_HOLDS_NUMBER(&it) ? bson_iter_as_int64(&it) : 0;
}

/* ---- renewals ---- */

static bool is_due(const bson_t *doc, const struct lease_renewal *r, int64_t *ret_end_ms)
{
    bson_iter_t it;
    struct text state = text_at(doc, STATE_PATH);
    struct lease_job job = {.state = state.s ? state.s : "",
                            .owner = text_at(doc, "claim.owner"),
                            .lease_ms = mongo_date(doc, "lease"),
                            .open = mongo_field(doc, "claim.open", &it),
                            .global_timeout = number_at(doc, TIMEOUT_PATH),
                            .reserve_timeout = number_at(doc, RESERVE_PATH)};

    return lease_is_due(&job, r, ret_end_ms);
}

/* Appends the statement that renews a lease, if the job is still as it was read. */
static void append_renewal(struct mongo *m, bson_t *updates, size_t index, const bson_t *doc,
                           int64_t end_ms)
{
    bson_t filter = BSON_INITIALIZER, update = BSON_INITIALIZER, child;
    struct mongo_change change = {.filter = &filter, .update = &update, .hint = m->fixed.by_id};

    mongo_append_as_read(&filter, "_id", doc, "_id");
    mongo_append_as_read(&filter, STATE_PATH, doc, STATE_PATH);
    mongo_append_as_read(&filter, "lease", doc, "lease");
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &child);
    BSON_APPEND_DATE_TIME(&child, "lease", end_ms);
    bson_append_document_end(&update, &child);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$unset", &child);
    BSON_APPEND_BOOL(&child, "claim.open", true);
    bson_append_document_end(&update, &child);
    mongo_change_append(updates, index, &change);
    bson_destroy(&filter);
    bson_destroy(&update);
}

struct renewing {
    struct mongo *m;
    const struct lease_renewal *renewals;
    bson_t updates; /* array */
    size_t len;
};

static void renew_found(void *arg, size_t i, const bson_t *doc)
{
    struct renewing *r = arg;
    int64_t end_ms = 0;

    if (is_due(doc, &r->renewals[i], &end_ms))
        append_renewal(r->m, &r->updates, r->len++, doc, end_ms);
}

enum err mongo_leases_renew(struct store *s, const struct lease_renewal *renewals, size_t n)
{
    static const char *const fields[] = {STATE_PATH,   "claim.owner", "claim.open", "lease",
                                         TIMEOUT_PATH, RESERVE_PATH,  NULL};
    struct renewing r = {.m = mongo_of(s), .renewals = renewals};
    bson_t command = BSON_INITIALIZER, projection = BSON_INITIALIZER;
    struct text *job_ids = mem_alloc(n * sizeof *job_ids);

    for (size_t i = 0; i < n; i++)
        job_ids[i] = renewals[i].job_id;
    project(&projection, fields);
    bson_init(&r.updates);
    enum err e = job_find_all(r.m, job_ids, n, &projection, &(struct job_finder){renew_found, &r});
    BSON_APPEND_UTF8(&command, "update", JOBS);
    BSON_APPEND_BOOL(&command, "ordered", false);
    BSON_APPEND_ARRAY(&command, "updates", &r.updates);
    if (!e && r.len)
        e = mongo_write_all(r.m, &command, r.m->fixed.light, NULL);
    bson_destroy(&r.updates);
    bson_destroy(&command);
    bson_destroy(&projection);
    free(job_ids);
    return e;
}

/* ---- orphans ---- */

static char *copy_at(const bson_t *doc, const char *path)
{
    struct text t = text_at(doc, path);

    return t.s ? mem_strndup(t.s, t.len) : NULL;
}

enum err mongo_leases_overdue(struct store *s, int64_t before_ms, struct orphan *orphans,
                              size_t *ret_n)
{
    static const char *const fields[] = {"job_id",   "job_data.job_queue", STATE_PATH,
                                         "lease",    "claim.owner",        "claim.reruns",
                                         RERUN_PATH, WEBHOOK_PATH,         NULL};
    struct mongo *m = mongo_of(s);
    bson_t filter = BSON_INITIALIZER, projection = BSON_INITIALIZER, range, reply, doc;
    struct mongo_query q = {.collection = JOBS,
                            .filter = &filter,
                            .projection = &projection,
                            .sort = m->fixed.by_lease,
                            .hint = m->fixed.by_lease,
                            .limit = SWEEP_MAX};
    bson_iter_t batch;
    size_t n = 0;

    BSON_APPEND_DOCUMENT_BEGIN(&filter, "lease", &range);
    BSON_APPEND_DATE_TIME(&range, "$lt", before_ms);
    bson_append_document_end(&filter, &range);
    project(&projection, fields);
    enum err e = mongo_find(m, &q, &reply, &batch);
    bson_destroy(&filter);
    bson_destroy(&projection);
    if (e)
        return e;
    for (; n < SWEEP_MAX && mongo_next(&batch, &doc); n++)
        orphans[n] = (struct orphan){.job_id = copy_at(&doc, "job_id"),
                                     .queue = copy_at(&doc, "job_data.job_queue"),
                                     .state = copy_at(&doc, STATE_PATH),
                                     .owner = copy_at(&doc, "claim.owner"),
                                     .webhook = copy_at(&doc, WEBHOOK_PATH),
                                     .lease_ms = mongo_date(&doc, "lease"),
                                     .reruns = number_at(&doc, "claim.reruns"),
                                     .allowed = number_at(&doc, RERUN_PATH)};
    bson_destroy(&reply);
    *ret_n = n;
    return ERR_OK;
}

/* The update by which the job is cancelled. */
static void append_end(bson_t *update, const struct orphan_end *end)
{
    bson_t child;

    BSON_APPEND_DOCUMENT_BEGIN(update, "$set", &child);
    BSON_APPEND_UTF8(&child, STATE_PATH, "cancelled");
    BSON_APPEND_UTF8(&child, "result_data." END_REASON, end->reason);
    bson_append_document_end(update, &child);
    BSON_APPEND_DOCUMENT_BEGIN(update, "$unset", &child);
    BSON_APPEND_BOOL(&child, "lease", true);
    BSON_APPEND_BOOL(&child, "claim.open", true);
    bson_append_document_end(update, &child);
    mongo_history_push(update, "cancelled", clock_wall_us() / 1000, end->reason);
}

static void append_set_stage(bson_t *pipeline, const char *index, const bson_t *fields)
{
    bson_t stage;

    BSON_APPEND_DOCUMENT_BEGIN(pipeline, index, &stage);
    BSON_APPEND_DOCUMENT(&stage, "$set", fields);
    bson_append_document_end(pipeline, &stage);
}

/* The pipeline by which it waits again: what it is now becomes an attempt. */
static void append_rerun(bson_t *pipeline, const struct orphan_end *end, int keep)
{
    static const char *const gone[] = {"started_at",  "lease",    "claim.token",
                                       "claim.owner", "claim.at", "claim.open"};
    bson_t *reason =
        BCON_NEW("result_data." END_REASON, "{", "$literal", BCON_UTF8(end->reason), "}");
    bson_t attempts = BSON_INITIALIZER, stage, unset;
    bson_t *waiting = BCON_NEW(
        "result_data", "{", "$literal", "{", "job_state", "waiting", "}", "}", "claim.reruns", "{",
        "$add", "[", "{", "$ifNull", "[", "$claim.reruns", BCON_INT32(0), "]", "}", BCON_INT32(1),
        "]", "}", "history", "{", "$slice", "[", "{", "$concatArrays", "[", "{", "$ifNull", "[",
        "$history", "[", "]", "]", "}", "[", "{", "state", "waiting", "at",
        BCON_DATE_TIME(clock_wall_us() / 1000), "reason", "{", "$literal", BCON_UTF8(end->reason),
        "}", "}", "]", "]", "}", BCON_INT32(-HISTORY_MAX), "]", "}");
    char key[MONGO_INDEX_SIZE];

    append_set_stage(pipeline, "0", reason);
    job_append_attempts(&attempts, keep);
    append_set_stage(pipeline, "1", &attempts);
    append_set_stage(pipeline, "2", waiting);
    BSON_APPEND_DOCUMENT_BEGIN(pipeline, "3", &stage);
    BSON_APPEND_ARRAY_BEGIN(&stage, "$unset", &unset);
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++)
        BSON_APPEND_UTF8(&unset, mongo_index(i, key), gone[i]);
    bson_append_array_end(&stage, &unset);
    bson_append_document_end(pipeline, &stage);
    if (keep > 0)
        job_append_size_check(pipeline, "4", (int64_t)STORE_DOCUMENT_MAX - JOB_STATE_ROOM);
    bson_destroy(reason);
    bson_destroy(waiting);
    bson_destroy(&attempts);
}

/* One update of the job, provided that its lease is the one that was found. */
static enum err end_with(struct mongo *m, const struct orphan_end *end, int keep)
{
    bson_t filter = BSON_INITIALIZER, update = BSON_INITIALIZER;
    struct mongo_change change = {
        .filter = &filter, .update = &update, .hint = m->fixed.by_lease, .pipeline = end->rerun};
    struct mongo_changed done = {0};

    BSON_APPEND_DATE_TIME(&filter, "lease", end->lease_ms);
    mongo_append_text(&filter, "job_id", end->job_id);
    if (end->rerun)
        append_rerun(&update, end, keep);
    else
        append_end(&update, end);
    enum err e = mongo_update(m, JOBS, &change, &done);
    bson_destroy(&filter);
    bson_destroy(&update);
    return e || done.matched ? e : ERR_NOT_FOUND;
}

enum err mongo_orphan_end(struct store *s, const struct orphan_end *end)
{
    static const int keeps[] = {ATTEMPTS_MAX, 1, 0}; /* old outcomes must not keep it from that */
    enum err e = ERR_TOO_LARGE;

    for (size_t i = 0; e == ERR_TOO_LARGE && i < sizeof keeps / sizeof *keeps; i++)
        e = end_with(mongo_of(s), end, keeps[i]);
    return e;
}

/* ---- holders ---- */

static void holder_found(void *arg, size_t i, const bson_t *doc)
{
    struct job_holder *job = &((struct job_holder *)arg)[i];
    struct text state = text_at(doc, STATE_PATH);
    bson_iter_t it, list;
    bson_t attempt;

    job->err = ERR_OK;
    job->waits = state.s && strcmp(state.s, "waiting") == 0;
    job->owner = copy_at(doc, "claim.owner");
    if (!mongo_field(doc, "attempts", &it) || !BSON_ITER_HOLDS_ARRAY(&it) ||
        !bson_iter_recurse(&it, &list))
        return;
    while (mongo_next(&list, &attempt)) {
        free(job->former);
        job->former = copy_at(&attempt, "owner");
        job->tried = mongo_date(&attempt, "started_at") != 0;
    }
}

enum err mongo_job_holders(struct store *s, struct job_holder *jobs, size_t n)
{
    static const char *const fields[] = {STATE_PATH, "claim.owner", "attempts.owner",
                                         "attempts.started_at", NULL};
    bson_t projection = BSON_INITIALIZER;
    struct text *job_ids = mem_alloc(n * sizeof *job_ids);

    for (size_t i = 0; i < n; i++) {
        job_ids[i] = jobs[i].job_id;
        jobs[i].err = ERR_NOT_FOUND;
    }
    project(&projection, fields);
    enum err e = job_find_all(mongo_of(s), job_ids, n, &projection,
                              &(struct job_finder){holder_found, jobs});
    bson_destroy(&projection);
    free(job_ids);
    return e;
}
