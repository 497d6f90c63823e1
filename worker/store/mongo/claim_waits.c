/* How long the jobs of a queue have waited. */
#include "worker/store/mongo/claim.h"

#include "common/log.h"

/* One statement: adds the waits of all jobs of one queue. They are taken from `wishes`. */
static void append_waits(bson_t *updates, size_t index, struct wish *wishes, size_t n)
{
    bson_t filter = BSON_INITIALIZER, update = BSON_INITIALIZER, push, times, each;
    struct mongo_change change = {.filter = &filter, .update = &update, .upsert = true};
    struct text queue = wishes[0].queue;
    char key[MONGO_INDEX_SIZE];
    size_t len = 0;

    mongo_append_text(&filter, "name", queue);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$push", &push);
    BSON_APPEND_DOCUMENT_BEGIN(&push, "wait_times", &times);
    BSON_APPEND_ARRAY_BEGIN(&times, "$each", &each);
    for (size_t i = 0; i < n; i++)
        if (wishes[i].queue.s && mongo_text_is(wishes[i].queue, queue)) {
            mongo_append_int(&each, mongo_index(len++, key), wishes[i].wait_s);
            wishes[i].queue.s = NULL;
        }
    bson_append_array_end(&times, &each);
    BSON_APPEND_INT32(&times, "$slice", -WAIT_TIMES_MAX);
    bson_append_document_end(&push, &times);
    bson_append_document_end(&update, &push);
    mongo_change_append(updates, index, &change);
    bson_destroy(&filter);
    bson_destroy(&update);
}

/* The jobs are handed out in any case: what is lost here is statistics. */
void claims_store_waits(struct mongo *m, struct wish *wishes, size_t n)
{
    bson_t command = BSON_INITIALIZER, updates;
    size_t queues = 0;

    BSON_APPEND_UTF8(&command, "update", WAIT_TIMES);
    BSON_APPEND_BOOL(&command, "ordered", false);
    BSON_APPEND_ARRAY_BEGIN(&command, "updates", &updates);
    for (size_t i = 0; i < n; i++)
        if (wishes[i].queue.s)
            append_waits(&updates, queues++, wishes + i, n - i);
    bson_append_array_end(&command, &updates);
    if (queues && mongo_write_all(m, &command, m->fixed.light, NULL))
        log_warn("wait times of %zu queues were not stored; see the message before", queues);
    bson_destroy(&command);
}
