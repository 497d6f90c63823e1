/* How many jobs wait in which queue. */
#include "common/mem.h"
#include "worker/store/mongo/mongo.h"

#include <stdlib.h>

static void append_stages(bson_t *pipeline, size_t max)
{
    bson_t stage, body, sum;

    BSON_APPEND_DOCUMENT_BEGIN(pipeline, "0", &stage);
    BSON_APPEND_DOCUMENT_BEGIN(&stage, "$match", &body);
    BSON_APPEND_UTF8(&body, STATE_PATH, "waiting");
    bson_append_document_end(&stage, &body);
    bson_append_document_end(pipeline, &stage);
    BSON_APPEND_DOCUMENT_BEGIN(pipeline, "1", &stage);
    BSON_APPEND_DOCUMENT_BEGIN(&stage, "$group", &body);
    BSON_APPEND_UTF8(&body, "_id", "$job_data.job_queue");
    BSON_APPEND_DOCUMENT_BEGIN(&body, "waiting", &sum);
    BSON_APPEND_INT32(&sum, "$sum", 1);
    bson_append_document_end(&body, &sum);
    BSON_APPEND_DOCUMENT_BEGIN(&body, "oldest", &sum);
    BSON_APPEND_UTF8(&sum, "$min", "$created_at");
    bson_append_document_end(&body, &sum);
    bson_append_document_end(&stage, &body);
    bson_append_document_end(pipeline, &stage);
    BSON_APPEND_DOCUMENT_BEGIN(pipeline, "2", &stage);
    BSON_APPEND_DOCUMENT_BEGIN(&stage, "$sort", &body);
    BSON_APPEND_INT32(&body, "waiting", -1);
    BSON_APPEND_INT32(&body, "_id", 1);
    bson_append_document_end(&stage, &body);
    bson_append_document_end(pipeline, &stage);
    BSON_APPEND_DOCUMENT_BEGIN(pipeline, "3", &stage);
    BSON_APPEND_INT64(&stage, "$limit", (int64_t)max);
    bson_append_document_end(pipeline, &stage);
}

static void fill(const bson_t *reply, struct queue_depth *depths, size_t max, size_t *ret_n)
{
    bson_iter_t at, batch, it;
    bson_t row;
    size_t n = 0;

    if (mongo_field(reply, "cursor.firstBatch", &at) && bson_iter_recurse(&at, &batch))
        while (n < max && mongo_next(&batch, &row)) {
            uint32_t len;
            if (!bson_iter_init_find(&it, &row, "_id") || !BSON_ITER_HOLDS_UTF8(&it))
                continue; /* no claim can name such a queue */
            const char *name = bson_iter_utf8(&it, &len);
            depths[n].queue = mem_strndup(name, len);
            depths[n].queue_len = len;
            depths[n].waiting =
                bson_iter_init_find(&it, &row, "waiting") ? bson_iter_as_int64(&it) : 0;
            depths[n++].oldest_ms = mongo_date(&row, "oldest");
        }
    *ret_n = n;
}

enum err mongo_queue_depths(struct store *s, struct queue_depth *depths, size_t max, size_t *ret_n)
{
    struct mongo *m = mongo_of(s);
    bson_t command = BSON_INITIALIZER, child, reply;

    BSON_APPEND_UTF8(&command, "aggregate", JOBS);
    BSON_APPEND_ARRAY_BEGIN(&command, "pipeline", &child);
    append_stages(&child, max);
    bson_append_array_end(&command, &child);
    BSON_APPEND_DOCUMENT_BEGIN(&command, "cursor", &child);
    BSON_APPEND_INT64(&child, "batchSize", (int64_t)max);
    bson_append_document_end(&command, &child);
    BSON_APPEND_DOCUMENT(&command, "hint", m->fixed.waiting);
    enum err e = mongo_read(m, &command, &reply);
    bson_destroy(&command);
    if (e)
        return e;
    fill(&reply, depths, max, ret_n);
    bson_destroy(&reply);
    return ERR_OK;
}
