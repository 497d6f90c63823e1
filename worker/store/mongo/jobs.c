/* Jobs: add, read, position, cancel. */
#include "worker/store/mongo/db.h"

#include "common/log.h"
#include "common/mem.h"
#include "worker/store/mongo/job.h"
#include "worker/store/mongo/oid.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Limits of one insert command: documents, and bytes unless it is a single one. */
#define INSERT_MAX       64
#define INSERT_BYTES_MAX (8 * MIB)

/* One insert command and the jobs in it. */
struct inserts {
    struct db_batch batch;
    struct job_new *members[INSERT_MAX];
    enum err errs[INSERT_MAX];
    size_t bytes;
};

/* Sends the command, if it has jobs. A duplicate _id means a repeat: the job is stored. */
static void inserts_send(struct mongo *m, struct inserts *in)
{
    size_t n = in->batch.n;
    enum err e = db_run(m, &in->batch, NULL);

    for (size_t i = 0; i < n; i++) {
        in->members[i]->added = !e && !in->errs[i];
        in->members[i]->err = e ? e : in->errs[i] == ERR_CONFLICT ? ERR_OK : in->errs[i];
    }
    in->bytes = 0;
}

/* Adds a job, after sending the command if both together exceed a limit. */
static void inserts_add(struct mongo *m, struct inserts *in, struct job_new *job)
{
    bson_t *doc = bson_new();
    bson_oid_t id;

    oid_of_text((struct text){job->job_id, strlen(job->job_id)}, &id);
    job->err = job_document(doc, &id, job);
    if (job->err) {
        bson_destroy(doc);
        return;
    }
    if (in->batch.n == INSERT_MAX || (in->batch.n && in->bytes + doc->len > INSERT_BYTES_MAX))
        inserts_send(m, in);
    in->members[in->batch.n] = job;
    in->bytes += doc->len;
    db_add_insert(&in->batch, doc);
}

enum err mongo_jobs_add(struct store *s, struct job_new *jobs, size_t n)
{
    struct mongo *m = mongo_of(s);
    struct inserts in = {.batch = DB_BATCH(JOBS)};

    in.batch.unordered = in.batch.last = true;
    in.batch.errs = in.errs;
    for (size_t i = 0; i < n; i++)
        if (jobs[i].given)
            jobs[i].err = job_put_given(m, &jobs[i]);
        else
            inserts_add(m, &in, &jobs[i]);
    inserts_send(m, &in);
    return ERR_OF_ALL(jobs, n);
}

enum err mongo_jobs_get(struct store *s, struct job_read *reads, size_t n)
{
    return job_read_all(mongo_of(s), "job_data", "job_data: true", reads, n);
}

/* ---- position ---- */

/* The keys of the queue's order, and the operator for a smaller place. */
static const struct {
    const char *field, *before;
} queue_order[] = {
    {"job_priority", "$gt"},
    {"created_at", "$lt"},
    {ORDER_PATH, "$lt"},
    {"_id", "$lt"},
};

/* Counts the waiting jobs that equal this one in the first `equal` keys of the order and precede it
 * in the next: a range of the index, without reading documents. */
static enum err count_range(struct mongo *m, const bson_t *job, size_t equal, int64_t *ret)
{
    bson_t *query = doc_of(STATE_PATH ": 'waiting', job_data.job_queue: ?",
                           v_field(job, "job_data.job_queue")),
           reply;

    for (size_t i = 0; i < equal; i++)
        doc_put(query, queue_order[i].field, v_field(job, queue_order[i].field));
    doc_add(query, "?: {?: ?}", v_str(queue_order[equal].field), v_str(queue_order[equal].before),
            v_field(job, queue_order[equal].field));
    enum err e = db_read(m,
                         doc_of("count: ?, query: ?, hint: ?", v_str(JOBS), v_own(query),
                                v_own(doc_of(index_keys(IX_WAITING)))),
                         &reply);
    if (e)
        return e;
    *ret = doc_int(&reply, "n", 0);
    bson_destroy(&reply);
    return ERR_OK;
}

/* Separate counts take half as long as one with $or, which the index alone cannot answer. */
static enum err count_before(struct mongo *m, const bson_t *job, int64_t *ret)
{
    int64_t sum = 0, n = 0;

    for (size_t equal = 0; equal < sizeof queue_order / sizeof *queue_order; equal++) {
        enum err e = count_range(m, job, equal, &n);
        if (e)
            return e;
        sum += n;
    }
    *ret = sum;
    return ERR_OK;
}

enum err mongo_job_position(struct store *s, struct text job_id, int64_t *ret)
{
    struct mongo *m = mongo_of(s);
    struct db_found f;
    enum err e = job_find(m, job_id,
                          STATE_PATH ": true, job_priority: true, created_at: true, " ORDER_PATH
                                     ": true, job_data.job_queue: true",
                          &f);

    if (e)
        return e;
    e = doc_text_is(&f.doc, STATE_PATH, "waiting") ? count_before(m, &f.doc, ret) : ERR_NOT_FOUND;
    db_end(&f);
    return e;
}
