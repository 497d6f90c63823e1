#include "worker/store/mongo/claim_together.h"

#include "common/clock.h"
#include "worker/store/mongo/heads.h"
#include "worker/store/mongo/job.h"

static bool excludes(const bson_t *job, struct text agent)
{
    bson_iter_t list;
    uint32_t len;

    if (!agent.s || !doc_list(job, "job_data.exclude_agents", &list))
        return false;
    while (bson_iter_next(&list))
        if (BSON_ITER_HOLDS_UTF8(&list)) {
            const char *name = bson_iter_utf8(&list, &len);
            if (text_equal((struct text){name, len}, agent))
                return true;
        }
    return false;
}

/* Gives a job to the first claim that may have it; false: none may. */
static bool choose(struct wish *group[], size_t n, const bson_t *job)
{
    for (size_t i = 0; i < n; i++)
        if (!group[i]->chosen && !excludes(job, group[i]->claim->agent))
            return group[i]->chosen =
                       bson_init_static(&group[i]->job, bson_get_data(job), job->len);
    return false;
}

/* What the chosen jobs were when they were read and what each of them gets, in one order. */
struct chosen {
    bson_t ids, created, claims, leases;
};

static void chosen_make(struct chosen *x, struct wish *group[], size_t n, int64_t now_ms)
{
    size_t len = 0;

    *x = (struct chosen){BSON_INITIALIZER, BSON_INITIALIZER, BSON_INITIALIZER, BSON_INITIALIZER};
    for (size_t i = 0; i < n; i++) {
        struct claim *c = group[i]->claim;
        if (!group[i]->chosen)
            continue;
        c->started_ms = now_ms;
        doc_put_at(&x->ids, len, v_field(&group[i]->job, "_id"));
        doc_put_at(&x->created, len, v_field(&group[i]->job, "created_at"));
        doc_put_at(&x->claims, len,
                   v_own(doc_of("token: ?, owner: ?, at: ?, open: true", v_str(c->asked.request_id),
                                v_given(c->agent), v_date(now_ms))));
        doc_put_at(&x->leases, len++,
                   v_own(doc_of("end: ?", c->lease_ms ? v_date(c->lease_ms) : v_none())));
    }
}

/* An expression: what the list has for the job. */
static struct doc_value of_job(const struct chosen *x, const bson_t *list)
{
    return v_own(doc_of("$arrayElemAt: [{$literal: ?}, {$indexOfArray: [{$literal: ?}, '$_id']}]",
                        v_array(list), v_array(&x->ids)));
}

/* Updates the chosen jobs that did not change since the read, all by one statement: mongod plans
 * each, which costs it as much as the change itself. *ret_matched: their number. */
static enum err update_chosen(struct mongo *m, struct wish *group[], size_t n, size_t *ret_matched)
{
    struct db_batch b = DB_BATCH(JOBS);
    int64_t now = mongo_now_ms(m);
    struct db_done done;
    struct chosen x;

    chosen_make(&x, group, n, now);
    b.last = true;
    DB_ADD_UPDATE(
        &b,
        .filter = doc_of("_id: {$in: ?}, " STATE_PATH
                         ": 'waiting', $expr: {$eq: [{$ifNull: ['$created_at', null]}, ?]}",
                         v_array(&x.ids), of_job(&x, &x.created)),
        .update = doc_of("[{$set: {" STATE_PATH ": 'running', started_at: ?, history: ?, claim: "
                         "{$mergeObjects: ['$claim', ?]}, lease: {$let: {vars: {new: ?}, in: "
                         "{$ifNull: ['$$new.end', '$lease']}}}}}]",
                         v_date(now), v_own(job_history_more(m, "running", NULL)),
                         of_job(&x, &x.claims), of_job(&x, &x.leases)),
        .index = IX_ID, .all = true);
    enum err e = db_run(m, &b, &done);
    *ret_matched = (size_t)done.matched;
    bson_destroy(&x.ids);
    bson_destroy(&x.created);
    bson_destroy(&x.claims);
    bson_destroy(&x.leases);
    return e;
}

/* Resets the choice of claims whose job does not have their token. */
static enum err drop_losers(struct mongo *m, struct wish *group[], size_t n)
{
    bool won[CLAIMS_MAX] = {false};
    bson_t ids = BSON_INITIALIZER;
    struct db_found f;
    size_t len = 0;

    for (size_t i = 0; i < n; i++)
        if (group[i]->chosen)
            doc_put_at(&ids, len++, v_field(&group[i]->job, "_id"));
    enum err e =
        DB_FIND(m, &f, .collection = JOBS, .filter = doc_of("_id: {$in: ?}", v_array(&ids)),
                .fields = "claim.token: true", .index = IX_ID, .limit = (int)n);
    bson_destroy(&ids);
    if (e)
        return e;
    while (db_next(&f))
        for (size_t i = 0; i < n; i++)
            if (doc_text_is(&f.doc, "claim.token", group[i]->claim->asked.request_id))
                won[i] = true;
    for (size_t i = 0; i < n; i++)
        group[i]->chosen = group[i]->chosen && won[i];
    db_end(&f);
    return ERR_OK;
}

/* Takes the chosen jobs; claims whose job another worker took get nothing. */
static enum err take_chosen(struct mongo *m, struct wish *group[], size_t n, size_t chosen)
{
    size_t matched = 0;
    enum err e = update_chosen(m, group, n, &matched);

    /* An update of a job without room for a claim fails alone: serve its claim alone. */
    if (e == ERR_TOO_LARGE || (!e && matched < chosen))
        e = drop_losers(m, group, n);
    for (size_t i = 0; !e && i < n; i++)
        if (group[i]->chosen)
            wish_fill(group[i], &group[i]->job, true);
    return e;
}

enum err claim_together(struct mongo *m, struct wish *group[], size_t n, bool *more)
{
    const struct claim *c = group[0]->claim;
    const struct claim anybody = {
        .queues = c->queues, .queues_len = c->queues_len, .no_secrets = c->no_secrets};
    int64_t began = clock_mono_ms();
    size_t jobs = 0, chosen = 0, served = 0;
    struct db_found f;
    enum err e = DB_FIND(m, &f, .collection = JOBS,
                         .filter = doc_of("?, ?", v_own(heads_of_state(&anybody, "waiting")),
                                          v_own(heads_fitting(&anybody))),
                         .fields = CLAIM_FIELDS, .sort = CLAIM_ORDER, .index = IX_WAITING,
                         .limit = (int)n, .more = more);

    if (e)
        return e;
    if (clock_mono_ms() - began >= CLAIM_SLOW_MS)
        heads_check(m, &anybody);
    for (; db_next(&f); jobs++)
        chosen += choose(group, n, &f.doc);
    if (chosen)
        e = take_chosen(m, group, n, chosen);
    db_end(&f);
    for (size_t i = 0; i < n; i++)
        served += !group[i]->claim->err;
    *more = *more || jobs == n || served < chosen;
    return e;
}
