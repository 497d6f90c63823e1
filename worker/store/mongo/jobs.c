/* Jobs: put in their queue, read, position, cancel. */
#include "worker/store/mongo/mongo.h"

#include "common/log.h"
#include "common/mem.h"
#include "worker/store/mongo/bsonjson.h"
#include "worker/store/mongo/job.h"
#include "worker/store/mongo/oid.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What one insert command holds at most: documents, and bytes where it is more than one. */
#define INSERT_MAX       64
#define INSERT_BYTES_MAX (8 * MIB)

/* One insert command and the jobs in it. */
struct batch {
    struct job_new *jobs;
    size_t members[INSERT_MAX];
    size_t len;
    bson_t documents; /* array */
};

/* A write error of the batch. A duplicate _id tells that a repeat found its job stored. */
static void take_write_error(struct batch *b, const bson_t *error)
{
    bson_iter_t it;
    int64_t index = mongo_field(error, "index", &it) ? bson_iter_as_int64(&it) : -1;
    int code = mongo_field(error, "code", &it) ? (int)bson_iter_as_int64(&it) : 0;
    enum err e = mongo_code_err(code);

    if (e == ERR_CONFLICT)
        return;
    log_error("a job was not stored: %s (code %d); see the server's log",
              mongo_field(error, "errmsg", &it) ? bson_iter_utf8(&it, NULL) : "no reason given",
              code);
    if (index >= 0 && (size_t)index < b->len)
        b->jobs[b->members[index]].err = e;
}

/* Sends what the batch holds and empties it. */
static void batch_insert(struct mongo *m, struct batch *b)
{
    bson_t command = BSON_INITIALIZER, reply, error;
    bson_iter_t at, errors;

    if (!b->len)
        return;
    BSON_APPEND_UTF8(&command, "insert", JOBS);
    BSON_APPEND_BOOL(&command, "ordered", false);
    BSON_APPEND_ARRAY(&command, "documents", &b->documents);
    enum err e = mongo_write(m, &command, &reply);
    bson_destroy(&command);
    for (size_t i = 0; i < b->len; i++)
        b->jobs[b->members[i]].err = e;
    if (!e) {
        if (bson_iter_init_find(&at, &reply, "writeErrors") && bson_iter_recurse(&at, &errors))
            while (mongo_next(&errors, &error))
                take_write_error(b, &error);
        bson_destroy(&reply);
    }
    bson_reinit(&b->documents);
    b->len = 0;
}

/* Adds job i, after sending what is there when both together are too much. */
static void batch_add(struct mongo *m, struct batch *b, size_t i)
{
    bson_t doc = BSON_INITIALIZER;
    struct job_new *job = &b->jobs[i];
    bson_oid_t id;
    char key[MONGO_INDEX_SIZE];

    oid_of_text((struct text){job->job_id, strlen(job->job_id)}, &id);
    job->err = job_document(&doc, &id, job);
    if (!job->err) {
        if (b->len == INSERT_MAX || (b->len && b->documents.len + doc.len > INSERT_BYTES_MAX))
            batch_insert(m, b);
        BSON_APPEND_DOCUMENT(&b->documents, mongo_index(b->len, key), &doc);
        b->members[b->len++] = i;
    }
    bson_destroy(&doc);
}

enum err mongo_jobs_add(struct store *s, struct job_new *jobs, size_t n)
{
    struct mongo *m = mongo_of(s);
    struct batch b = {.jobs = jobs};
    enum err all = n ? ERR_INTERNAL : ERR_OK;

    bson_init(&b.documents);
    for (size_t i = 0; i < n; i++)
        if (jobs[i].given)
            jobs[i].err = job_put_given(m, &jobs[i]);
        else
            batch_add(m, &b, i);
    batch_insert(m, &b);
    bson_destroy(&b.documents);
    for (size_t i = 0; i < n; i++) {
        if (i && jobs[i].err != all)
            return ERR_OK;
        all = jobs[i].err;
    }
    return all;
}

/* ---- reading ---- */

/* Runs a query for one job. */
static enum err find_one(struct mongo *m, const struct mongo_query *q, bson_t *ret_reply,
                         bson_t *ret_doc)
{
    bson_iter_t batch;
    enum err e = mongo_find(m, q, ret_reply, &batch);

    if (e)
        return e;
    if (mongo_next(&batch, ret_doc))
        return ERR_OK;
    bson_destroy(ret_reply);
    return ERR_NOT_FOUND;
}

enum err job_find(struct mongo *m, struct text job_id, const bson_t *projection, bson_t *ret_reply,
                  bson_t *ret_doc)
{
    bson_t by_id = BSON_INITIALIZER, by_job_id = BSON_INITIALIZER;
    bson_oid_t id;
    struct mongo_query q = {
        .collection = JOBS, .filter = &by_id, .projection = projection, .limit = 1};

    oid_of_text(job_id, &id);
    BSON_APPEND_OID(&by_id, "_id", &id);
    enum err e = find_one(m, &q, ret_reply, ret_doc);
    if (e == ERR_NOT_FOUND) {
        mongo_append_text(&by_job_id, "job_id", job_id);
        q.filter = &by_job_id;
        q.hint = m->fixed.by_job_id;
        e = find_one(m, &q, ret_reply, ret_doc);
    }
    bson_destroy(&by_id);
    bson_destroy(&by_job_id);
    return e;
}

/* Looks in one trip for those that have our _id; `found` tells which there are. */
static enum err find_ours(struct mongo *m, const struct text *job_ids, size_t n,
                          const bson_t *projection, const struct job_finder *f, bool *found)
{
    bson_t filter = BSON_INITIALIZER, in, list, reply, doc;
    struct mongo_query q = {
        .collection = JOBS, .filter = &filter, .projection = projection, .limit = (int)n};
    bson_oid_t *ids = mem_alloc(n * sizeof *ids);
    bson_iter_t batch, it;
    char key[MONGO_INDEX_SIZE];

    BSON_APPEND_DOCUMENT_BEGIN(&filter, "_id", &in);
    BSON_APPEND_ARRAY_BEGIN(&in, "$in", &list);
    for (size_t i = 0; i < n; i++) {
        oid_of_text(job_ids[i], &ids[i]);
        BSON_APPEND_OID(&list, mongo_index(i, key), &ids[i]);
    }
    bson_append_array_end(&in, &list);
    bson_append_document_end(&filter, &in);
    enum err e = mongo_find(m, &q, &reply, &batch);
    bson_destroy(&filter);
    while (!e && mongo_next(&batch, &doc))
        for (size_t i = 0; bson_iter_init_find(&it, &doc, "_id") && i < n; i++)
            if (!found[i] && BSON_ITER_HOLDS_OID(&it) &&
                bson_oid_equal(bson_iter_oid(&it), &ids[i])) {
                found[i] = true;
                f->take(f->arg, i, &doc);
            }
    if (!e)
        bson_destroy(&reply);
    free(ids);
    return e;
}

enum err job_find_all(struct mongo *m, const struct text *job_ids, size_t n,
                      const bson_t *projection, const struct job_finder *f)
{
    bool *found = mem_alloc(n * sizeof *found);
    enum err e = n > 1 ? find_ours(m, job_ids, n, projection, f, found) : ERR_OK;
    bson_t reply, doc;

    /* Jobs of other servers, and what did not fit into one batch. */
    for (size_t i = 0; !e && i < n; i++) {
        if (found[i])
            continue;
        e = job_find(m, job_ids[i], projection, &reply, &doc);
        if (!e) {
            f->take(f->arg, i, &doc);
            bson_destroy(&reply);
        }
        e = e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    free(found);
    return e;
}

/* ---- reading a field of several ---- */

/* What is read of jobs. */
struct part {
    const char *field; /* of the document */
    enum result_part of;
};

/* All but the texts of phases, which can be large. The names of what else was posted need not be
 * paths, so that it cannot be listed. */
static void project_fields(bson_t *projection)
{
    static const char *const out[] = {"job_data", "history", "attempts"};
    static const char *const kinds[] = {"output", "serial"};
    char path[64];

    for (size_t i = 0; i < sizeof out / sizeof *out; i++)
        BSON_APPEND_BOOL(projection, out[i], false);
    for (int i = 0; i < PHASE_COUNT; i++)
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            snprintf(path, sizeof path, "result_data.%s_%s", phase_names[i], kinds[k]);
            BSON_APPEND_BOOL(projection, path, false);
        }
}

static void project(bson_t *projection, const struct part *part)
{
    if (part->of == RESULT_FIELDS)
        project_fields(projection);
    else
        BSON_APPEND_BOOL(projection, part->of == RESULT_STATE ? STATE_PATH : part->field, true);
}

static json_t *field_value(const bson_t *doc, const char *field)
{
    bson_iter_t it;

    if (bson_iter_init_find(&it, doc, field) && BSON_ITER_HOLDS_DOCUMENT(&it))
        return bsonjson_value(&it);
    return json_object();
}

struct reading {
    struct job_read *reads;
    const char *field;
};

static void take_field(void *arg, size_t i, const bson_t *doc)
{
    const struct reading *r = arg;

    r->reads[i].value = field_value(doc, r->field);
    r->reads[i].err = ERR_OK;
}

/* Reads the part of each job. */
static enum err read_all(struct mongo *m, const struct part *part, struct job_read *reads, size_t n)
{
    bson_t projection = BSON_INITIALIZER;
    struct reading r = {.reads = reads, .field = part->field};
    struct text *job_ids = mem_alloc(n * sizeof *job_ids);

    for (size_t i = 0; i < n; i++) {
        reads[i].err = ERR_NOT_FOUND;
        job_ids[i] = reads[i].job_id;
    }
    project(&projection, part);
    enum err e = job_find_all(m, job_ids, n, &projection, &(struct job_finder){take_field, &r});
    bson_destroy(&projection);
    free(job_ids);
    return e;
}

enum err mongo_jobs_get(struct store *s, struct job_read *reads, size_t n)
{
    struct part part = {.field = "job_data"};

    return read_all(mongo_of(s), &part, reads, n);
}

enum err mongo_results_get(struct store *s, struct job_read *reads, size_t n)
{
    struct part part = {.field = "result_data", .of = RESULT_STATE};

    for (size_t i = 0; i < n; i++) /* one trip reads what any of them needs */
        if (reads[i].part < part.of)
            part.of = reads[i].part;
    return read_all(mongo_of(s), &part, reads, n);
}

/* ---- position ---- */

/* The keys of the queue's order, and the operator for what is before a value. */
static const struct {
    const char *field, *before;
} queue_order[] = {
    {"job_priority", "$gt"},
    {"created_at",   "$lt"},
    {ORDER_PATH,     "$lt"},
    {"_id",          "$lt"},
};

/* Counts the waiting jobs that are equal to this one in the first `equal` keys of the order and
 * before it in the next key: a range of the index, without reading documents. */
static enum err count_range(struct mongo *m, const bson_t *job, size_t equal, int64_t *ret)
{
    bson_t command = BSON_INITIALIZER, query, range, reply;
    bson_iter_t it;

    BSON_APPEND_UTF8(&command, "count", JOBS);
    BSON_APPEND_DOCUMENT_BEGIN(&command, "query", &query);
    BSON_APPEND_UTF8(&query, STATE_PATH, "waiting");
    mongo_append_as_read(&query, "job_data.job_queue", job, "job_data.job_queue");
    for (size_t i = 0; i < equal; i++)
        mongo_append_as_read(&query, queue_order[i].field, job, queue_order[i].field);
    BSON_APPEND_DOCUMENT_BEGIN(&query, queue_order[equal].field, &range);
    mongo_append_as_read(&range, queue_order[equal].before, job, queue_order[equal].field);
    bson_append_document_end(&query, &range);
    bson_append_document_end(&command, &query);
    BSON_APPEND_DOCUMENT(&command, "hint", m->fixed.waiting);
    enum err e = mongo_read(m, &command, &reply);
    bson_destroy(&command);
    if (e)
        return e;
    *ret = bson_iter_init_find(&it, &reply, "n") ? bson_iter_as_int64(&it) : 0;
    bson_destroy(&reply);
    return ERR_OK;
}

/* These counts are half the work of one with $or, which cannot count by the index alone. */
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

static bool job_waits(const bson_t *job)
{
    bson_iter_t it;

    return mongo_field(job, STATE_PATH, &it) && BSON_ITER_HOLDS_UTF8(&it) &&
           strcmp(bson_iter_utf8(&it, NULL), "waiting") == 0;
}

enum err mongo_job_position(struct store *s, struct text job_id, int64_t *ret)
{
    struct mongo *m = mongo_of(s);
    bson_t projection = BSON_INITIALIZER, reply, job;

    for (size_t i = 0; i < sizeof queue_order / sizeof *queue_order; i++)
        BSON_APPEND_BOOL(&projection, queue_order[i].field, true);
    BSON_APPEND_BOOL(&projection, STATE_PATH, true);
    BSON_APPEND_BOOL(&projection, "job_data.job_queue", true);
    enum err e = job_find(m, job_id, &projection, &reply, &job);
    bson_destroy(&projection);
    if (e)
        return e;
    e = job_waits(&job) ? count_before(m, &job, ret) : ERR_NOT_FOUND;
    bson_destroy(&reply);
    return e;
}
