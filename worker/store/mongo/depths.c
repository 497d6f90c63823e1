/* Number of unfinished jobs by queue. */
#include "worker/store/mongo/db.h"

#include "common/mem.h"
#include "worker/jobs/states.h"

#include <string.h>

enum err mongo_queue_depths(struct store *s, const struct text *queues, size_t queues_len,
                            struct queue_depth *depths, size_t max, size_t *ret_n)
{
    bson_t *match = doc_of(STATE_PATH ": 'waiting'");
    struct db_found f;
    size_t n = 0;

    if (queues_len)
        doc_add(match, "job_data.job_queue: {$in: ?}", v_texts(queues, queues_len));
    bson_t *pipeline =
        doc_of("[{$match: ?}, {$group: {_id: '$job_data.job_queue', waiting: {$sum: 1}, "
               "oldest: {$min: '$created_at'}}}, {$sort: {waiting: -1, _id: 1}}, {$limit: ?}]",
               v_doc(match), v_int64((int64_t)max));
    bson_destroy(match);
    enum err e = db_aggregate(mongo_of(s), JOBS, pipeline, IX_WAITING, &f);

    if (e)
        return e;
    while (n < max && db_next(&f)) {
        struct text queue = doc_text(&f.doc, "_id");
        if (queue.s) /* no claim can name others */
            depths[n++] = (struct queue_depth){.queue = mem_strndup(queue.s, queue.len),
                                               .queue_len = queue.len,
                                               .waiting = doc_int(&f.doc, "waiting", 0),
                                               .oldest_ms = doc_date(&f.doc, "oldest")};
    }
    db_end(&f);
    *ret_n = n;
    return ERR_OK;
}

/* Counts a job in {QUEUE: {STATE: NUMBER}}. */
static void count_job(json_t *queues, struct text queue, struct text state)
{
    json_t *states = json_object_getn(queues, queue.s, queue.len);

    if (!states) {
        states = json_object();
        json_object_setn_new(queues, queue.s, queue.len, states);
    }
    int64_t before = json_integer_value(json_object_getn(states, state.s, state.len));
    json_object_setn_new(states, state.s, state.len, json_integer(before + 1));
}

/* Reads the jobs, of which there are few, by ranges of the index between the other states. */
enum err mongo_queues_busy(struct store *s, json_t **ret)
{
    struct db_found f;
    bool more = false;
    enum err e =
        DB_FIND(mongo_of(s), &f, .collection = JOBS,
                .filter = doc_of(STATE_PATH ": {$nin: ?}", v_strs(states_not_leased(), SIZE_MAX)),
                .fields = "_id: false, job_data.job_queue: true, " STATE_PATH ": true",
                .index = IX_JOB_STATE, .limit = BUSY_MAX, .more = &more);

    if (e)
        return e;
    *ret = json_object();
    while (db_next(&f)) {
        struct text queue = doc_text(&f.doc, "job_data.job_queue"),
                    state = doc_text(&f.doc, STATE_PATH);
        if (queue.s && state.s)
            count_job(*ret, queue, state);
    }
    db_end(&f);
    return ERR_OK;
}

/* When a job stopped to wait; 0: it waits. */
static int64_t left_of(const bson_t *doc)
{
    const char *state = doc_str(doc, STATE_PATH);
    bson_iter_t entries;
    bson_t last;
    int64_t ms = doc_date(doc, "started_at");

    if (state && strcmp(state, "waiting") == 0)
        return 0;
    if (!ms && doc_list(doc, "history", &entries) && bson_iter_next(&entries) &&
        doc_view(&entries, &last))
        ms = doc_date(&last, "at");
    return ms ? ms : doc_date(doc, "created_at");
}

enum err mongo_queue_times(struct store *s, struct text queue, int64_t since_ms,
                           struct job_wait *waits, size_t *ret_n)
{
    struct db_found f;
    size_t n = 0;
    enum err e =
        DB_FIND(mongo_of(s), &f, .collection = JOBS,
                .filter = doc_of("job_data.job_queue: ?, created_at: {$gte: ?}", v_text(queue),
                                 v_date(since_ms)),
                .fields = "_id: false, created_at: true, started_at: true, " STATE_PATH
                          ": true, history: {$slice: -1}",
                .sort = "created_at: -1, _id: -1", .index = IX_QUEUE, .limit = JOB_WAITS_MAX);

    while (!e && n < JOB_WAITS_MAX && db_next(&f))
        waits[n++] = (struct job_wait){doc_date(&f.doc, "created_at"), left_of(&f.doc)};
    db_end(&f);
    *ret_n = n;
    return e;
}
