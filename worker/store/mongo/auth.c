/* What the collections of access control share: simple commands; the audit trail, the keys and the
 * failed logins. */
#include "worker/store/mongo/auth.h"

#include "common/clock.h"
#include "common/log.h"
#include "worker/store/mongo/bsonjson.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

json_t *mongo_document_json(const bson_t *doc)
{
    json_t *object = json_object();
    bson_iter_t it;

    if (bson_iter_init(&it, doc))
        while (bson_iter_next(&it))
            if (strcmp(bson_iter_key(&it), "_id") != 0)
                json_object_set_new(object, bson_iter_key(&it), bsonjson_value(&it));
    return object;
}

enum err mongo_modify(struct mongo *m, const bson_t *command, bson_t *ret_reply, bson_t *ret_doc)
{
    bson_iter_t it;
    enum err e = mongo_write(m, command, ret_reply);

    if (e == ERR_CONFLICT)
        e = mongo_write(m, command, ret_reply);
    if (e)
        return e == ERR_CONFLICT ? ERR_UNAVAILABLE : e;
    if (bson_iter_init_find(&it, ret_reply, "value") && mongo_document(&it, ret_doc))
        return ERR_OK;
    bson_destroy(ret_reply);
    return ERR_NOT_FOUND;
}

enum err mongo_insert(struct mongo *m, const char *collection, const bson_t *doc)
{
    bson_t command = BSON_INITIALIZER, documents;

    BSON_APPEND_UTF8(&command, "insert", collection);
    BSON_APPEND_ARRAY_BEGIN(&command, "documents", &documents);
    BSON_APPEND_DOCUMENT(&documents, "0", doc);
    bson_append_array_end(&command, &documents);
    enum err e = mongo_write_all(m, &command, NULL, NULL);
    bson_destroy(&command);
    return e;
}

enum err mongo_delete(struct mongo *m, const char *collection, const bson_t *filter, bool all,
                      int64_t *ret_n)
{
    bson_t command = BSON_INITIALIZER, deletes, statement;
    struct mongo_changed done;

    BSON_APPEND_UTF8(&command, "delete", collection);
    BSON_APPEND_ARRAY_BEGIN(&command, "deletes", &deletes);
    BSON_APPEND_DOCUMENT_BEGIN(&deletes, "0", &statement);
    BSON_APPEND_DOCUMENT(&statement, "q", filter);
    BSON_APPEND_INT32(&statement, "limit", all ? 0 : 1);
    bson_append_document_end(&deletes, &statement);
    bson_append_array_end(&command, &deletes);
    enum err e = mongo_write_all(m, &command, NULL, &done);
    bson_destroy(&command);
    if (!e && ret_n)
        *ret_n = done.matched;
    return e;
}

/* ---- failed logins ---- */

static void count_of(const bson_t *doc, int64_t now_ms, struct login_count *ret)
{
    bson_iter_t it;

    ret->until_ms = mongo_date(doc, "until");
    ret->count = ret->until_ms > now_ms && bson_iter_init_find(&it, doc, "count")
                     ? bson_iter_as_int64(&it)
                     : 0;
}

static void take_count(const bson_t *doc, int64_t now_ms, struct login_count *counts, size_t n)
{
    bson_iter_t it;
    const char *key = bson_iter_init_find(&it, doc, "_id") && BSON_ITER_HOLDS_UTF8(&it)
                          ? bson_iter_utf8(&it, NULL)
                          : "";

    for (size_t i = 0; i < n; i++)
        if (strcmp(key, counts[i].key) == 0)
            count_of(doc, now_ms, &counts[i]);
}

enum err mongo_login_counts(struct store *s, struct login_count *counts, size_t n, int64_t now_ms)
{
    bson_t filter = BSON_INITIALIZER, in, list, reply, doc;
    char key[MONGO_INDEX_SIZE];
    bson_iter_t batch;
    struct mongo_query q = {.collection = LOGIN_FAILURES, .filter = &filter, .limit = (int)n};

    BSON_APPEND_DOCUMENT_BEGIN(&filter, "_id", &in);
    BSON_APPEND_ARRAY_BEGIN(&in, "$in", &list);
    for (size_t i = 0; i < n; i++)
        BSON_APPEND_UTF8(&list, mongo_index(i, key), counts[i].key);
    bson_append_array_end(&in, &list);
    bson_append_document_end(&filter, &in);
    enum err e = mongo_find(mongo_of(s), &q, &reply, &batch);
    bson_destroy(&filter);
    if (e)
        return e;
    for (size_t i = 0; i < n; i++)
        counts[i].count = counts[i].until_ms = 0;
    while (mongo_next(&batch, &doc))
        take_count(&doc, now_ms, counts, n);
    bson_destroy(&reply);
    return ERR_OK;
}

/* A pipeline: while the window lasts the count grows, else both begin anew. */
static bson_t *count_one(int64_t now_ms, int64_t until_ms)
{
    bson_t *lasts = BCON_NEW("$and", "[", "{", "$gt", "[", BCON_UTF8("$until"),
                             BCON_DATE_TIME(now_ms), "]", "}", "{", "$lte", "[",
                             BCON_UTF8("$until"), BCON_DATE_TIME(until_ms), "]", "}", "]");
    bson_t *pipeline =
        BCON_NEW("0", "{", "$set", "{", "count", "{", "$cond", "[", BCON_DOCUMENT(lasts), "{",
                 "$add", "[", BCON_UTF8("$count"), BCON_INT32(1), "]", "}", BCON_INT32(1), "]", "}",
                 "until", "{", "$cond", "[", BCON_DOCUMENT(lasts), BCON_UTF8("$until"),
                 BCON_DATE_TIME(until_ms), "]", "}", "}", "}");

    bson_destroy(lasts);
    return pipeline;
}

enum err mongo_login_failed(struct store *s, struct login_count *count, int64_t now_ms,
                            int64_t window_ms)
{
    bson_t command = BSON_INITIALIZER, query, reply, doc;
    bson_t *pipeline = count_one(now_ms, now_ms + window_ms);

    BSON_APPEND_UTF8(&command, "findAndModify", LOGIN_FAILURES);
    BSON_APPEND_DOCUMENT_BEGIN(&command, "query", &query);
    BSON_APPEND_UTF8(&query, "_id", count->key);
    bson_append_document_end(&command, &query);
    BSON_APPEND_ARRAY(&command, "update", pipeline);
    BSON_APPEND_BOOL(&command, "upsert", true);
    BSON_APPEND_BOOL(&command, "new", true);
    enum err e = mongo_modify(mongo_of(s), &command, &reply, &doc);
    bson_destroy(&command);
    bson_destroy(pipeline);
    if (e)
        return e;
    count_of(&doc, now_ms, count);
    bson_destroy(&reply);
    return ERR_OK;
}

enum err mongo_login_trust(struct store *s, const struct login_count *trust, int64_t now_ms)
{
    bson_t *filter = BCON_NEW("_id", BCON_UTF8(trust->key));
    bson_t *update = BCON_NEW("$set", "{", "count", BCON_INT64(trust->count), "until",
                              BCON_DATE_TIME(trust->until_ms), "}");
    struct mongo_change change = {.filter = filter, .update = update, .upsert = true};

    (void)now_ms; /* the database removes what is over */
    enum err e = mongo_update(mongo_of(s), LOGIN_FAILURES, &change, NULL);
    if (e == ERR_CONFLICT) /* another process was first */
        e = mongo_update(mongo_of(s), LOGIN_FAILURES, &change, NULL);
    bson_destroy(filter);
    bson_destroy(update);
    return e;
}

enum err mongo_login_forget(struct store *s, const char *key)
{
    bson_t filter = BSON_INITIALIZER;

    BSON_APPEND_UTF8(&filter, "_id", key);
    enum err e = mongo_delete(mongo_of(s), LOGIN_FAILURES, &filter, false, NULL);
    bson_destroy(&filter);
    return e;
}

/* ---- the signing key ---- */

enum err mongo_signing_key(struct store *s, const char *proposed, char out[SIGNING_KEY_SIZE])
{
    bson_t *command =
        BCON_NEW("findAndModify", BCON_UTF8(SIGNING_KEYS), "query", "{", "_id", BCON_UTF8("jwt"),
                 "}", "update", "{", "$setOnInsert", "{", "key", BCON_UTF8(proposed), "created_at",
                 BCON_DATE_TIME(clock_wall_us() / 1000), "}", "}", "upsert", BCON_BOOL(true), "new",
                 BCON_BOOL(true));
    bson_t reply, doc;
    bson_iter_t it;
    enum err e = mongo_modify(mongo_of(s), command, &reply, &doc);

    bson_destroy(command);
    if (e)
        return e;
    uint32_t len = 0;
    const char *key = bson_iter_init_find(&it, &doc, "key") && BSON_ITER_HOLDS_UTF8(&it)
                          ? bson_iter_utf8(&it, &len)
                          : "";
    if (len + 1 == SIGNING_KEY_SIZE) {
        memcpy(out, key, SIGNING_KEY_SIZE);
    } else {
        log_error("the key in collection %s is damaged; remove its document, or set "
                  "JWT_SIGNING_KEY",
                  SIGNING_KEYS);
        e = ERR_INTERNAL;
    }
    bson_destroy(&reply);
    return e;
}
