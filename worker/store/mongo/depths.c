/* Number of waiting jobs by queue. */
#include "worker/store/mongo/db.h"

#include "common/mem.h"

enum err mongo_queue_depths(struct store *s, struct queue_depth *depths, size_t max, size_t *ret_n)
{
    struct db_found f;
    size_t n = 0;
    enum err e = db_aggregate(
        mongo_of(s), JOBS,
        doc_of("[{$match: {" STATE_PATH ": 'waiting'}}, {$group: {_id: '$job_data.job_queue', "
               "waiting: {$sum: 1}, oldest: {$min: '$created_at'}}}, {$sort: {waiting: -1, _id: "
               "1}}, {$limit: ?}]",
               v_int64((int64_t)max)),
        IX_WAITING, &f);

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
