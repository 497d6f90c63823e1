#include "worker/store/mongo/job.h"

#include "common/log.h"
#include "common/mem.h"
#include "worker/store/mongo/oid.h"

#include <stdlib.h>

/* ---- finding ---- */

static enum err find_by(struct mongo *m, bson_t *filter, enum db_index index, const char *fields,
                        struct db_found *ret)
{
    return DB_FIRST(m, ret, .collection = JOBS, .filter = filter, .index = index, .fields = fields);
}

static uint64_t *foreign_at(struct mongo *m, struct text job_id, uint64_t *ret_hash)
{
    *ret_hash = fnv_add_text(FNV_START, job_id);
    return &m->foreign[*ret_hash % FOREIGN_LEN];
}

void job_foreign_note(struct mongo *m, struct text job_id)
{
    uint64_t hash, *at = foreign_at(m, job_id, &hash);

    *at = hash;
}

bool job_is_foreign(struct mongo *m, struct text job_id)
{
    uint64_t hash;

    return *foreign_at(m, job_id, &hash) == hash;
}

enum err job_find(struct mongo *m, struct text job_id, const char *fields, struct db_found *ret)
{
    bson_oid_t id;
    enum err e = ERR_NOT_FOUND;

    oid_of_text(job_id, &id);
    if (!job_is_foreign(m, job_id))
        e = find_by(m, doc_of("_id: ?", v_oid(&id)), IX_NONE, fields, ret);
    if (e != ERR_NOT_FOUND)
        return e;
    e = find_by(m, doc_of("job_id: ?", v_text(job_id)), IX_JOB_ID, fields, ret);
    if (!e)
        job_foreign_note(m, job_id);
    return e;
}

/* The id of the i-th job. */
static struct text id_at(const struct job_finder *f, size_t i)
{
    return *(const struct text *)((const char *)f->items + i * f->size);
}

/* Finds jobs with our _id in one trip; `found` marks them. */
static enum err find_ours(struct mongo *m, const struct job_finder *f, size_t n, bool *found)
{
    bson_oid_t *ids = mem_alloc(n * sizeof *ids);
    bson_t list = BSON_INITIALIZER;
    struct db_found r;

    for (size_t i = 0; i < n; i++) {
        oid_of_text(id_at(f, i), &ids[i]);
        doc_put_at(&list, i, v_oid(&ids[i]));
    }
    enum err e =
        DB_FIND(m, &r, .collection = JOBS, .filter = doc_of("_id: {$in: ?}", v_array(&list)),
                .fields = f->fields, .limit = (int)n);
    while (!e && db_next(&r)) {
        const bson_oid_t *id = doc_oid(&r.doc, "_id");
        for (size_t i = 0; id && i < n; i++)
            if (!found[i] && bson_oid_equal(id, &ids[i])) {
                found[i] = true;
                f->take(f->arg, i, &r.doc);
            }
    }
    db_end(&r);
    bson_destroy(&list);
    free(ids);
    return e;
}

enum err job_find_all(struct mongo *m, const struct job_finder *f, size_t n)
{
    bool *found = mem_alloc(n * sizeof *found);
    enum err e = n > 1 ? find_ours(m, f, n, found) : ERR_OK;
    struct db_found r;

    /* Finds the rest: jobs of other servers, and those beyond one batch. */
    for (size_t i = 0; !e && i < n; i++) {
        if (found[i])
            continue;
        e = job_find(m, id_at(f, i), f->fields, &r);
        if (!e) {
            f->take(f->arg, i, &r.doc);
            db_end(&r);
        }
        e = e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    free(found);
    return e;
}

/* ---- making ---- */

int64_t job_created_ms(const struct job_new *job)
{
    return job->asked.received_us / 1000;
}

enum err job_document(bson_t *doc, const bson_oid_t *id, const struct job_new *job)
{
    if (!doc_add(
            doc,
            "_id: ?, created_at: ?, result_data: {job_state: 'waiting'}, job_priority: ?, "
            "job_id: ?, job_data: ?, submitter: ?, claim: {order: ?}, requests: ?, wait_until: ?",
            v_oid(id), v_date(job_created_ms(job)), v_int(job->priority), v_str(job->job_id),
            v_json(job->data), v_given(job->submitter), v_int64(job->asked.received_us),
            job->given ? v_strs(&job->asked.request_id, 1) : v_none(),
            job->wait_until_ms ? v_date(job->wait_until_ms) : v_none())) {
        log_error("cannot store the data of job %s: it is nested too deep or has a NUL in a "
                  "key; such a body should have been refused: report it",
                  job->job_id);
        return ERR_INTERNAL;
    }
    return doc->len > STORE_DOCUMENT_MAX ? ERR_TOO_LARGE : ERR_OK;
}

/* ---- parts of updates ---- */

const int attempts_kept[ATTEMPTS_TRIES] = {ATTEMPTS_MAX, 1, 0};

/* The server itself copies the old outcome, which may have megabytes. */
bson_t *job_attempts(int keep)
{
    if (keep == 0)
        return doc_of("$set: {attempts: []}");
    return doc_of("$set: {attempts: {$slice: [{$concatArrays: [{$ifNull: ['$attempts', []]}, "
                  "[{created_at: '$created_at', started_at: '$started_at', result_data: "
                  "'$result_data', owner: '$claim.owner'}]]}, ?]}}",
                  v_int(-keep));
}

bson_t *job_time(struct mongo *m)
{
    return doc_of("$max: [?, {$max: '$history.at'}, {$max: '$events.at'}]",
                  v_date(mongo_now_ms(m)));
}

bson_t *job_history_more(struct mongo *m, const char *state, const char *reason)
{
    return doc_of("$slice: [{$concatArrays: [{$ifNull: ['$history', []]}, [{state: {$literal: ?}, "
                  "at: ?, reason: ?}]]}, ?]",
                  v_str(state), v_own(job_time(m)),
                  reason ? v_own(doc_of("$literal: ?", v_str(reason))) : v_none(),
                  v_int(-HISTORY_MAX));
}

bson_t *job_history_push(const char *state, int64_t at_ms, const char *reason)
{
    return doc_of("history: {$each: [{state: ?, at: ?, reason: ?}], $slice: ?}", v_str(state),
                  v_date(at_ms), reason ? v_str(reason) : v_none(), v_int(-HISTORY_MAX));
}

bson_t *job_ended(struct mongo *m, const char *reason)
{
    return doc_of("$set: {" STATE_PATH ": 'cancelled', result_data." END_REASON ": ?}, $unset: "
                  "{lease: true, claim.open: true}, $push: ?",
                  v_str(reason), v_own(job_history_push("cancelled", mongo_now_ms(m), reason)));
}

/* An expression cannot fail by itself, so convert a text that is no id. It contains a field: the
 * server would convert a constant before it looks at the size. */
bson_t *job_size_check(int64_t max)
{
    return doc_of("$set: {too_large: {$cond: [{$gt: [{$bsonSize: '$$ROOT'}, ?]}, {$toObjectId: "
                  "{$concat: ['too large: ', {$ifNull: ['$result_data.job_state', '']}]}}, "
                  "'$$REMOVE']}}",
                  v_int64(max));
}

struct reading {
    struct job_read *reads;
    const char *field; /* of the document */
};

static void take_field(void *arg, size_t i, const bson_t *doc)
{
    const struct reading *r = arg;
    json_t *value = doc_json(doc, r->field);

    r->reads[i].value = json_is_object(value) ? value : json_object();
    r->reads[i].err = ERR_OK;
    if (!doc_bool(doc, "claim.open"))
        r->reads[i].lease_ms = doc_date(doc, "lease");
    if (!json_is_object(value))
        json_decref(value);
}

enum err job_read_all(struct mongo *m, const char *field, const char *fields,
                      struct job_read *reads, size_t n)
{
    struct reading r = {.reads = reads, .field = field};
    struct job_finder f = {reads, sizeof *reads, fields, take_field, &r};

    for (size_t i = 0; i < n; i++)
        reads[i].err = ERR_NOT_FOUND;
    return job_find_all(m, &f, n);
}
