/* Cancels jobs. Which request cancelled a job last stays in its document, also when the job runs
 * again: a late repeat must not cancel a new attempt. */
#include "worker/store/mongo/agent_jobs.h"
#include "worker/store/mongo/job.h"

#include "common/mem.h"
#include "worker/jobs/states.h"
#include "worker/store/mongo/oid.h"

#include <stdlib.h>
#include <string.h>

#define CANCELLED_BY  "cancel.request"
#define CANCEL_FIELDS STATE_PATH ": true, cancel: true"

/* Documents of one job id that are read: other servers made one for each resubmission. */
#define SAME_IDS_MAX 20

enum how {
    FORGET = 1, /* removes the job's old attempts, which may leave no room for the state */
    FOREIGN = 2 /* of another server: has any _id */
};

/* The update that cancels, unless the job is over or this request has cancelled it before. */
static bson_t *cancellation(struct mongo *m, const char *request_id, unsigned how)
{
    bson_t *keep = doc_of("$or: [{$in: ['$" STATE_PATH "', {$literal: ?}]}, {$eq: "
                          "['$" CANCELLED_BY "', {$literal: ?}]}]",
                          v_strs(states_over(), SIZE_MAX), v_str(request_id));
    bson_t *update =
        doc_of("[{$set: {" STATE_PATH ": {$cond: [?, '$" STATE_PATH "', 'cancelled']}, "
               "history: {$cond: [?, '$history', ?]}, lease: {$cond: [?, '$lease', '$$REMOVE']}, "
               "cancel: {$cond: [?, '$cancel', {request: {$literal: ?}, waited: {$eq: "
               "['$" STATE_PATH "', 'waiting']}}]}}}, ?]",
               v_doc(keep), v_doc(keep), v_own(job_history_more(m, "cancelled", NULL)), v_doc(keep),
               v_doc(keep), v_str(request_id),
               how & FORGET ? v_own(doc_of("$unset: 'attempts'")) : v_none());

    bson_destroy(keep);
    return update;
}

static bool is_over(const bson_t *job)
{
    const char *state = doc_str(job, STATE_PATH);

    return state && state_is_over(state);
}

/* Whether this request has cancelled the job; fills c->waited then. */
static bool is_done(const bson_t *job, struct job_cancel *c)
{
    bool done = doc_text_is(job, CANCELLED_BY, c->asked.request_id);

    if (done)
        c->waited = doc_bool(job, "cancel.waited");
    return done;
}

/* ---- one job ---- */

static enum err cancel(struct mongo *m, struct job_cancel *c, unsigned how)
{
    struct db_found before;
    bson_oid_t id;

    oid_of_text(c->job_id, &id);
    enum err e = DB_MODIFY(m, JOBS, &before,
                           .filter = how & FOREIGN ? doc_of("job_id: ?", v_text(c->job_id))
                                                   : doc_of("_id: ?", v_oid(&id)),
                           .update = cancellation(m, c->asked.request_id, how),
                           .fields = CANCEL_FIELDS, .index = how & FOREIGN ? IX_JOB_ID : IX_NONE);

    if (e)
        return e;
    if (!is_done(&before.doc, c)) {
        const char *state = doc_str(&before.doc, STATE_PATH);
        c->waited = state && strcmp(state, "waiting") == 0;
        e = is_over(&before.doc) ? ERR_CONFLICT : ERR_OK;
    }
    db_end(&before);
    return e;
}

/* Our document, else that of another server. */
static enum err cancel_one(struct mongo *m, struct job_cancel *c)
{
    enum err e = ERR_NOT_FOUND;

    for (unsigned how = 0; e == ERR_NOT_FOUND && how <= FOREIGN; how += FOREIGN) {
        e = cancel(m, c, how);
        if (e == ERR_TOO_LARGE)
            e = cancel(m, c, how | FORGET);
    }
    return e;
}

/* ---- many jobs: in three trips ---- */

struct many {
    struct job_cancel *cancels;
    size_t n;
    struct db_found found;
    bson_t *docs; /* views into `found`: the document of each; not where `known` is false */
    bool *known;
};

/* Takes a document: ours, or the first of other servers, which is their newest. */
static void take(struct many *k, const bson_oid_t *ids)
{
    const bson_oid_t *id = doc_oid(&k->found.doc, "_id");
    struct text job_id = doc_text(&k->found.doc, "job_id");

    for (size_t i = 0; job_id.s && i < k->n; i++) {
        bool ours = id && bson_oid_equal(id, &ids[i]);
        if (!text_equal(job_id, k->cancels[i].job_id) || (k->known[i] && !ours))
            continue;
        k->known[i] = doc_view(&k->found.batch, &k->docs[i]);
    }
}

/* Reads the jobs in one batch; those beyond it stay unknown. db_end(&k->found) frees. */
static enum err look(struct mongo *m, struct many *k)
{
    bson_oid_t *ids = mem_alloc(k->n * sizeof *ids);
    bson_t list = BSON_INITIALIZER;

    for (size_t i = 0; i < k->n; i++) {
        k->known[i] = false;
        oid_of_text(k->cancels[i].job_id, &ids[i]);
        doc_put_at(&list, i, v_text(k->cancels[i].job_id));
    }
    enum err e = DB_FIND(m, &k->found, .collection = JOBS,
                         .filter = doc_of("job_id: {$in: ?}", v_array(&list)),
                         .fields = "job_id: true, " CANCEL_FIELDS, .index = IX_JOB_ID,
                         .in_order = true, .limit = SAME_IDS_MAX * (int)k->n);
    while (!e && db_next(&k->found))
        take(k, ids);
    bson_destroy(&list);
    free(ids);
    return e;
}

/* Cancels the known jobs that are not over. A job that is too large for its new state ends the
 * update early. */
static enum err change(struct mongo *m, const struct many *k)
{
    bson_t list = BSON_INITIALIZER;
    size_t n = 0;
    enum err e = ERR_OK;

    for (size_t i = 0; i < k->n; i++)
        if (k->known[i] && !is_over(&k->docs[i]))
            doc_put_at(&list, n++, v_field(&k->docs[i], "_id"));
    if (n)
        e = DB_UPDATE(m, JOBS, NULL, .filter = doc_of("_id: {$in: ?}", v_array(&list)),
                      .update = cancellation(m, k->cancels->asked.request_id, 0), .index = IX_ID,
                      .all = true);
    bson_destroy(&list);
    return e == ERR_TOO_LARGE ? ERR_OK : e;
}

/* Settles what can be settled together. */
static enum err cancel_many(struct mongo *m, struct many *k, bool *settled)
{
    enum err e = look(m, k);

    if (!e)
        e = change(m, k);
    db_end(&k->found);
    if (e)
        return e;
    e = look(m, k);
    for (size_t i = 0; !e && i < k->n; i++) {
        bool done = k->known[i] && is_done(&k->docs[i], &k->cancels[i]);
        settled[i] = done || (k->known[i] && is_over(&k->docs[i]));
        k->cancels[i].err = done ? ERR_OK : ERR_CONFLICT;
    }
    db_end(&k->found);
    return e;
}

/* Clears the jobs that agents had in the documents of these agents. */
static void end_jobs(struct mongo *m, const struct job_cancel *cancels, size_t n)
{
    struct text *had = mem_alloc(n * sizeof *had);
    size_t len = 0;

    for (size_t i = 0; i < n; i++)
        if (!cancels[i].err && !cancels[i].waited)
            had[len++] = cancels[i].job_id;
    agent_jobs_end(m, had, len);
    free(had);
}

enum err mongo_jobs_cancel(struct store *s, struct job_cancel *cancels, size_t n)
{
    struct many k = {.cancels = cancels, .n = n};
    bool *settled = mem_alloc(n);
    enum err e = ERR_OK;

    k.docs = mem_alloc(n * sizeof *k.docs);
    k.known = mem_alloc(n);
    if (n > 1)
        e = cancel_many(mongo_of(s), &k, settled);
    for (size_t i = 0; i < n; i++)
        if (!settled[i])
            cancels[i].err = e ? e : cancel_one(mongo_of(s), &cancels[i]);
    end_jobs(mongo_of(s), cancels, n);
    free(k.docs);
    free(k.known);
    free(settled);
    return ERR_OF_ALL(cancels, n);
}
