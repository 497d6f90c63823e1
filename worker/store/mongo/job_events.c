/* Events that are kept with jobs: `events` of the job's document, [{at, after, event}, ...]. They
 * came after so many entries of its history; those of older releases tell their time only. */
#include "worker/store/mongo/job.h"
#include "worker/store/mongo/oid.h"

/* Appends those that are not there. Without room in the job's document nothing changes. */
static bson_t *more(struct mongo *m, const struct job_events_post *post)
{
    return doc_of(
        "[{$set: {events: {$cond: [{$or: [{$gte: [{$bsonSize: {e: {$ifNull: ['$events', []]}}}, "
        "?]}, {$gte: [{$size: {$ifNull: ['$events', []]}}, ?]}, {$gt: [{$bsonSize: '$$ROOT'}, "
        "?]}]}, '$events', {$slice: [{$concatArrays: "
        "[{$ifNull: ['$events', []]}, {$map: {input: {$filter: {input: {$literal: ?}, as: 'e', "
        "cond: {$not: [{$in: ['$$e', {$ifNull: ['$events.event', []]}]}]}}}, as: 'e', in: {at: "
        "?, after: {$size: {$ifNull: ['$history', []]}}, event: '$$e'}}}]}, ?]}]}}}]",
        v_int(JOB_EVENTS_BYTES), v_int(post->max ? post->max : JOB_EVENTS_MAX),
        v_int64(STORE_DOCUMENT_MAX - JOB_STATE_ROOM - 4 * (int64_t)JOB_EVENTS_BYTES),
        v_json(post->events), v_own(job_time(m)), v_int(JOB_EVENTS_MAX));
}

/* Adds them all in one command. *ret_all: each job was there. With `any_id` also those of other
 * servers, which take a planner. */
static enum err add_all(struct mongo *m, const struct job_events_post *posts, size_t n, bool any_id,
                        bool *ret_all)
{
    struct db_batch b = DB_BATCH(JOBS);
    struct db_done done;
    size_t sent = 0;

    b.last = true;
    for (size_t i = 0; i < n; i++) {
        struct text job_id = posts[i].job_id;
        bool foreign = any_id || job_is_foreign(m, job_id);
        bson_oid_t id;
        if (!json_array_size(posts[i].events))
            continue;
        oid_of_text(job_id, &id);
        DB_ADD_UPDATE(&b,
                      .filter = foreign ? doc_of("job_id: ?", v_text(job_id))
                                        : doc_of("_id: ?", v_oid(&id)),
                      .update = more(m, &posts[i]), .index = foreign ? IX_JOB_ID : IX_NONE);
        sent++;
    }
    enum err e = db_run(m, &b, &done);
    *ret_all = (size_t)done.matched == sent;
    return e;
}

enum err mongo_job_events_add(struct store *s, const struct job_events_post *posts, size_t n)
{
    bool all;
    enum err e = add_all(mongo_of(s), posts, n, false, &all);

    /* A second time adds nothing to those that have them. */
    return e || all ? e : add_all(mongo_of(s), posts, n, true, &all);
}

/* Appends the elements of a list of the job's document. */
static void read_list(const bson_t *job, const char *name, json_t *list)
{
    bson_iter_t it;
    bson_t one;

    if (!doc_list(job, name, &it))
        return;
    while (bson_iter_next(&it) && doc_view(&it, &one))
        json_array_append_new(
            list, json_pack("{s:I, s:o*, s:s*, s:s*, s:o*}", "at", (json_int_t)doc_date(&one, "at"),
                            "after", doc_json(&one, "after"), "state", doc_str(&one, "state"),
                            "reason", doc_str(&one, "reason"), "event", doc_json(&one, "event")));
}

enum err mongo_job_events_get(struct store *s, struct text job_id, struct job_events *ret)
{
    struct db_found f;
    enum err e = job_find(mongo_of(s), job_id, "events: true, history: true", &f);

    if (e)
        return e;
    *ret = (struct job_events){json_array(), json_array()};
    read_list(&f.doc, "events", ret->posted);
    read_list(&f.doc, "history", ret->changes);
    db_end(&f);
    return ERR_OK;
}
