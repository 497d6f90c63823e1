/* Keys of submissions: documents {_id: key, body, job_id, received, at}. */
#include "worker/store/mongo/mongo.h"

#include "common/clock.h"

#include <stdio.h>
#include <string.h>

#define TRIES_MAX 8

/* Puts the key unless it is there and young: ERR_CONFLICT. */
static enum err put(struct mongo *m, const struct submit_key *k, int64_t before_ms)
{
    bson_t filter = BSON_INITIALIZER, update = BSON_INITIALIZER, child;
    struct mongo_change change = {.filter = &filter, .update = &update, .upsert = true};

    BSON_APPEND_UTF8(&filter, "_id", k->key);
    BSON_APPEND_DOCUMENT_BEGIN(&filter, "at", &child);
    BSON_APPEND_DATE_TIME(&child, "$lt", before_ms);
    bson_append_document_end(&filter, &child);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &child);
    BSON_APPEND_UTF8(&child, "body", k->body);
    BSON_APPEND_UTF8(&child, "job_id", k->job_id);
    BSON_APPEND_INT64(&child, "received", k->received_us);
    BSON_APPEND_DATE_TIME(&child, "at", clock_wall_us() / 1000);
    bson_append_document_end(&update, &child);
    enum err e = mongo_update(m, KEYS, &change, NULL);
    bson_destroy(&filter);
    bson_destroy(&update);
    return e;
}

/* What came first with the key. ERR_NOT_FOUND: it has expired meanwhile. */
static enum err find(struct mongo *m, struct submit_key *k)
{
    bson_t filter = BSON_INITIALIZER, reply, doc;
    struct mongo_query q = {.collection = KEYS, .filter = &filter, .limit = 1};
    bson_iter_t batch, body, job_id, received;

    BSON_APPEND_UTF8(&filter, "_id", k->key);
    enum err e = mongo_find(m, &q, &reply, &batch);
    bson_destroy(&filter);
    if (e)
        return e;
    if (!mongo_next(&batch, &doc) || !mongo_field(&doc, "body", &body) ||
        !BSON_ITER_HOLDS_UTF8(&body) || !mongo_field(&doc, "job_id", &job_id) ||
        !BSON_ITER_HOLDS_UTF8(&job_id) || !mongo_field(&doc, "received", &received)) {
        e = ERR_NOT_FOUND;
    } else if (strcmp(bson_iter_utf8(&body, NULL), k->body) != 0) {
        e = ERR_CONFLICT;
    } else {
        snprintf(k->job_id, sizeof k->job_id, "%s", bson_iter_utf8(&job_id, NULL));
        k->received_us = bson_iter_as_int64(&received);
        k->again = true;
    }
    bson_destroy(&reply);
    return e;
}

static enum err put_or_find(struct mongo *m, struct submit_key *k, int64_t before_ms)
{
    enum err e = ERR_NOT_FOUND;

    for (int i = 0; e == ERR_NOT_FOUND && i < TRIES_MAX; i++) {
        e = put(m, k, before_ms);
        if (e == ERR_CONFLICT)
            e = find(m, k);
    }
    return e == ERR_NOT_FOUND ? ERR_UNAVAILABLE : e;
}

enum err mongo_submit_keys(struct store *s, struct submit_key *keys, size_t n, int64_t before_ms)
{
    for (size_t i = 0; i < n; i++) {
        keys[i].again = false;
        keys[i].err = put_or_find(mongo_of(s), &keys[i], before_ms);
    }
    return ERR_OK;
}
