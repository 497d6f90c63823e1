/* Agents and queues. */
#include "worker/store/mongo/mongo.h"

#include "common/clock.h"
#include "common/log.h"
#include "worker/store/mongo/bsonjson.h"

#include <string.h>

/* True when the lines stand in the log already, one after the other. */
static bool log_holds(const json_t *log, const json_t *lines)
{
    size_t n = json_array_size(lines), total = json_array_size(log);

    for (size_t start = 0; start + n <= total; start++) {
        size_t i = 0;
        while (i < n && json_equal(json_array_get(log, start + i), json_array_get(lines, i)))
            i++;
        if (i == n)
            return true;
    }
    return false;
}

/* Whether the log lines of a repeat were stored by the first try. Agents have no field for request
 * ids (their documents are shown as they are), so this is told by the lines. */
static enum err log_stored(struct mongo *m, const struct agent_put *a, bool *ret)
{
    bson_t filter = BSON_INITIALIZER, projection = BSON_INITIALIZER, reply, doc;
    bson_iter_t batch, it;
    struct mongo_query q = {
        .collection = AGENTS, .filter = &filter, .projection = &projection, .limit = 1};

    mongo_append_text(&filter, "name", a->name);
    BSON_APPEND_BOOL(&projection, "log", true);
    enum err e = mongo_find(m, &q, &reply, &batch);
    bson_destroy(&filter);
    bson_destroy(&projection);
    if (e)
        return e;
    *ret = false;
    if (mongo_next(&batch, &doc) && bson_iter_init_find(&it, &doc, "log")) {
        json_t *log = bsonjson_value(&it);
        *ret = log_holds(log, a->log);
        json_decref(log);
    }
    bson_destroy(&reply);
    return ERR_OK;
}

/* {$set: {FIELDS, updated_at}, $push: {log: {$each: LINES, $slice: -AGENT_LOG_MAX}}} */
static bool append_update(bson_t *update, const struct agent_put *a, const json_t *lines)
{
    bson_t child, log, each;

    BSON_APPEND_DOCUMENT_BEGIN(update, "$set", &child);
    bool ok = bsonjson_append_members(&child, a->fields);
    BSON_APPEND_DATE_TIME(&child, "updated_at", clock_wall_us() / 1000);
    bson_append_document_end(update, &child);
    BSON_APPEND_DOCUMENT_BEGIN(update, "$push", &child);
    BSON_APPEND_DOCUMENT_BEGIN(&child, "log", &log);
    if (lines) {
        ok = bsonjson_append(&log, "$each", strlen("$each"), lines) && ok;
    } else {
        BSON_APPEND_ARRAY_BEGIN(&log, "$each", &each);
        bson_append_array_end(&log, &each);
    }
    BSON_APPEND_INT32(&log, "$slice", -AGENT_LOG_MAX);
    bson_append_document_end(&child, &log);
    bson_append_document_end(update, &child);
    return ok;
}

enum err mongo_agent_put(struct store *s, const struct agent_put *a)
{
    bson_t filter = BSON_INITIALIZER, update = BSON_INITIALIZER;
    struct mongo_change change = {.filter = &filter, .update = &update, .upsert = true};
    struct mongo *m = mongo_of(s);
    bool stored = false;
    enum err e = ERR_OK;

    if (a->asked.repeat && json_array_size(a->log))
        e = log_stored(m, a, &stored);
    mongo_append_text(&filter, "name", a->name);
    if (!e && !append_update(&update, a, stored ? NULL : a->log)) {
        log_error("the data of agent %.*s cannot be stored: it is nested too deep or has a NUL in "
                  "a key; such a body should have been refused",
                  (int)a->name.len, a->name.s);
        e = ERR_INTERNAL;
    }
    if (!e)
        e = mongo_update(m, AGENTS, &change, NULL);
    if (e == ERR_CONFLICT) /* two first posts at once: now it is there */
        e = mongo_update(m, AGENTS, &change, NULL);
    bson_destroy(&filter);
    bson_destroy(&update);
    return e;
}

enum err mongo_queue_serves(struct store *s, struct text queue, const json_t *exclude, bool *ret)
{
    bson_t filter = BSON_INITIALIZER, projection = BSON_INITIALIZER, child, reply, doc;
    bson_iter_t batch;
    struct mongo_query q = {
        .collection = AGENTS, .filter = &filter, .projection = &projection, .limit = 1};
    enum err e = ERR_INTERNAL;

    mongo_append_text(&filter, "queues", queue);
    BSON_APPEND_DOCUMENT_BEGIN(&filter, "name", &child);
    bool ok = bsonjson_append(&child, "$nin", strlen("$nin"), exclude);
    bson_append_document_end(&filter, &child);
    BSON_APPEND_BOOL(&projection, "_id", true);
    if (ok)
        e = mongo_find(mongo_of(s), &q, &reply, &batch);
    bson_destroy(&filter);
    bson_destroy(&projection);
    if (e)
        return e;
    *ret = mongo_next(&batch, &doc);
    bson_destroy(&reply);
    return ERR_OK;
}

static void mark_restricted(struct queue_check *queues, size_t n, const char *name, size_t len)
{
    for (size_t i = 0; i < n; i++)
        if (queues[i].queue.len == len && memcmp(queues[i].queue.s, name, len) == 0)
            queues[i].restricted = true;
}

enum err mongo_queues_restricted(struct store *s, struct queue_check *queues, size_t n)
{
    bson_t filter = BSON_INITIALIZER, in, list, reply, doc;
    char key[MONGO_INDEX_SIZE];
    bson_iter_t batch, it;
    /* a queue may be there twice: nothing keeps others from that */
    struct mongo_query q = {.collection = RESTRICTED, .filter = &filter, .limit = (int)n * 8};

    BSON_APPEND_DOCUMENT_BEGIN(&filter, "queue_name", &in);
    BSON_APPEND_ARRAY_BEGIN(&in, "$in", &list);
    for (size_t i = 0; i < n; i++)
        mongo_append_text(&list, mongo_index(i, key), queues[i].queue);
    bson_append_array_end(&in, &list);
    bson_append_document_end(&filter, &in);
    enum err e = n ? mongo_find(mongo_of(s), &q, &reply, &batch) : ERR_OK;
    bson_destroy(&filter);
    if (e || !n)
        return e;
    for (size_t i = 0; i < n; i++)
        queues[i].restricted = false;
    while (mongo_next(&batch, &doc))
        if (mongo_field(&doc, "queue_name", &it) && BSON_ITER_HOLDS_UTF8(&it)) {
            uint32_t len;
            const char *name = bson_iter_utf8(&it, &len);
            mark_restricted(queues, n, name, len);
        }
    bson_destroy(&reply);
    return ERR_OK;
}
