/* What surrounds a job: earlier attempts, children, its events for webhooks. */
#include "worker/jobs/outcome.h"
#include "worker/store/mongo/job.h"
#include "worker/store/mongo/outbox.h"

#define PHASE(name) ", attempts.result_data." name "_status: true"
static const char attempt_fields[] =
    "attempts.created_at: true, attempts.started_at: true, attempts.owner: true, "
    "attempts." STATE_PATH ": true, attempts.result_data.status: true"
#include "worker/jobs/phases.def"
    ;
#undef PHASE

static json_t *or_null(json_t *value)
{
    return value ? value : json_null();
}

static json_t *attempt(const bson_t *doc)
{
    json_t *result = doc_json(doc, "result_data");
    json_t *one =
        json_pack("{s:o, s:o, s:o, s:o, s:o}", "created_at", or_null(doc_time(doc, "created_at")),
                  "started_at", or_null(doc_time(doc, "started_at")), "job_state",
                  or_null(doc_json(doc, STATE_PATH)), "agent", or_null(doc_json(doc, "owner")),
                  "status", outcome_status(result));

    json_decref(result);
    return one;
}

enum err mongo_job_attempts(struct store *s, struct text job_id, json_t **ret)
{
    bson_iter_t attempts;
    struct db_found f;
    bson_t one;
    enum err e = job_find(mongo_of(s), job_id, attempt_fields, &f);

    if (e)
        return e;
    *ret = json_array();
    if (doc_list(&f.doc, "attempts", &attempts))
        while (bson_iter_next(&attempts))
            if (doc_view(&attempts, &one))
                json_array_append_new(*ret, attempt(&one));
    db_end(&f);
    return ERR_OK;
}

enum err mongo_job_children(struct store *s, struct text job_id, int limit, json_t **ret)
{
    struct db_found f;
    enum err e = DB_FIND(mongo_of(s), &f, .collection = JOBS,
                         .filter = doc_of("job_data.parent_job_id: ?", v_text(job_id)),
                         .fields = "job_id: true", .index = IX_PARENT, .limit = limit);

    if (e)
        return e;
    *ret = json_array();
    while (db_next(&f))
        json_array_append_new(*ret, or_null(doc_json(&f.doc, "job_id")));
    db_end(&f);
    return ERR_OK;
}

static json_t *event(const bson_t *doc)
{
    return json_pack(
        "{s:o, s:o, s:o, s:I, s:I, s:o, s:I, s:I}", "id", or_null(doc_json(doc, "_id")), "receiver",
        or_null(doc_json(doc, "receiver")), "state", or_null(doc_json(doc, "state")), "tries",
        (json_int_t)doc_int(doc, "tries", 0), "status", (json_int_t)doc_int(doc, "status", 0),
        "reason", or_null(doc_json(doc, "reason")), "created_ms",
        (json_int_t)doc_date(doc, "created_at"), "at_ms", (json_int_t)doc_date(doc, "at"));
}

enum err mongo_outbox_of_job(struct store *s, struct text job_id, int limit, json_t **ret)
{
    char first[OUTBOX_LANE_SIZE], end[OUTBOX_LANE_SIZE];
    struct db_found f;

    *ret = NULL;
    if (outbox_lanes_of(job_id, first, end)) {
        *ret = json_array();
        return ERR_OK;
    }
    enum err e = DB_FIND(
        mongo_of(s), &f, .collection = OUTBOX,
        .filter = doc_of("state: {$in: ['pending', 'delivered', 'dead']}, lane: {$gte: ?, $lt: ?}",
                         v_str(first), v_str(end)),
        .fields = "body: false, answer: false", .index = IX_LANE, .limit = limit);
    if (e)
        return e;
    *ret = json_array();
    while (db_next(&f))
        json_array_append_new(*ret, event(&f.doc));
    db_end(&f);
    return ERR_OK;
}
