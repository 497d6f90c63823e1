/* What the collections of access control share: indexes, simple commands; the keys and the failed
 * logins. */
#include "worker/store_mongo/auth.h"

#include "common/clock.h"
#include "common/log.h"
#include "worker/store_mongo/bsonjson.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* Several processes start at once; the server lets some of them try again. */
#define PREPARE_TRIES    20
#define PREPARE_PAUSE_MS 100

/* The audit trail keeps about a few hundred thousand entries. */
#define AUDIT_BYTES ((int64_t)64 * 1024 * 1024)

/* The reference's indexes and ours, with their default names. `expire_s` < 0: nothing expires. */
static const struct auth_index {
    const char *collection, *field;
    bool unique, sparse;
    int64_t expire_s;
    const char *only_with; /* holds the documents that have this field; NULL: all */
} rows[] = {
    {CLIENTS,        "client_id",      true,  false, -1,                     NULL },
    {CLIENTS,        "sub",            false, true,  -1,                     NULL },
    {CLIENTS,        "last_login",     false, false, REFRESH_KEPT_MS / 1000, "sub"},
 /* who owns a queue */
    {CLIENTS,        "allowed_queues", false, false, -1,                     NULL },
    {REFRESH_TOKENS, "refresh_token",  true,  false, -1,                     NULL },
    {REFRESH_TOKENS, "client_id",      false, false, -1,                     NULL },
    {REFRESH_TOKENS, "last_accessed",  false, false, REFRESH_KEPT_MS / 1000, NULL },
    {LOGIN_FAILURES, "until",          false, false, 0,                      NULL },
};

static enum err create_index(struct mongo *m, const struct auth_index *row, bool unique)
{
    bson_t command = BSON_INITIALIZER, indexes, index, child, exists, reply;
    char name[64];

    snprintf(name, sizeof name, "%s_1", row->field);
    BSON_APPEND_UTF8(&command, "createIndexes", row->collection);
    BSON_APPEND_ARRAY_BEGIN(&command, "indexes", &indexes);
    BSON_APPEND_DOCUMENT_BEGIN(&indexes, "0", &index);
    BSON_APPEND_DOCUMENT_BEGIN(&index, "key", &child);
    BSON_APPEND_INT32(&child, row->field, 1);
    bson_append_document_end(&index, &child);
    BSON_APPEND_UTF8(&index, "name", name);
    if (unique)
        BSON_APPEND_BOOL(&index, "unique", true);
    if (row->sparse)
        BSON_APPEND_BOOL(&index, "sparse", true);
    if (row->expire_s >= 0)
        mongo_append_int(&index, "expireAfterSeconds", row->expire_s);
    if (row->only_with) {
        BSON_APPEND_DOCUMENT_BEGIN(&index, "partialFilterExpression", &child);
        BSON_APPEND_DOCUMENT_BEGIN(&child, row->only_with, &exists);
        BSON_APPEND_BOOL(&exists, "$exists", true);
        bson_append_document_end(&child, &exists);
        bson_append_document_end(&index, &child);
    }
    bson_append_document_end(&indexes, &index);
    bson_append_array_end(&command, &indexes);
    if (m->replica_set)
        BSON_APPEND_UTF8(&command, "commitQuorum", "majority");
    enum err e = mongo_write(m, &command, &reply);
    bson_destroy(&command);
    if (!e)
        bson_destroy(&reply);
    return e;
}

static enum err make_index(struct mongo *m, const struct auth_index *row)
{
    enum err e = create_index(m, row, row->unique);

    if (e == ERR_CONFLICT && row->unique) {
        log_warn("documents of collection %s share a %s, so its index is not unique; remove all "
                 "but the newest of them",
                 row->collection, row->field);
        e = create_index(m, row, false);
    }
    return e == ERR_CONFLICT ? ERR_OK : e;
}

static enum err make_audit(struct mongo *m)
{
    bson_t *command = BCON_NEW("create", BCON_UTF8(AUDIT), "capped", BCON_BOOL(true), "size",
                               BCON_INT64(AUDIT_BYTES));
    bson_t reply;
    enum err e = mongo_write(m, command, &reply);

    bson_destroy(command);
    if (!e)
        bson_destroy(&reply);
    if (e == ERR_INTERNAL)
        log_warn("the audit trail has no bound, since this database has no collections of bounded "
                 "size; remove old documents of collection %s from time to time",
                 AUDIT);
    return e == ERR_CONFLICT || e == ERR_INTERNAL ? ERR_OK : e;
}

static enum err prepare(struct mongo *m)
{
    enum err e = make_audit(m);

    for (size_t i = 0; !e && i < sizeof rows / sizeof *rows; i++)
        e = make_index(m, &rows[i]);
    return e;
}

enum err mongo_auth_prepare(struct mongo *m)
{
    const struct timespec pause = {.tv_nsec = PREPARE_PAUSE_MS * 1000000L};
    enum err e = prepare(m);

    for (int i = 0; e == ERR_UNAVAILABLE && i < PREPARE_TRIES; i++) {
        nanosleep(&pause, NULL);
        e = prepare(m);
    }
    return e;
}

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

static void failures_of(const bson_t *doc, int64_t now_ms, struct login_failures *ret)
{
    bson_iter_t it;

    *ret = (struct login_failures){.until_ms = mongo_date(doc, "until")};
    if (ret->until_ms > now_ms && bson_iter_init_find(&it, doc, "count"))
        ret->count = bson_iter_as_int64(&it);
}

enum err mongo_login_failures(struct store *s, struct text key, int64_t now_ms,
                              struct login_failures *ret)
{
    bson_t filter = BSON_INITIALIZER, reply, doc;
    bson_iter_t batch;
    struct mongo_query q = {.collection = LOGIN_FAILURES, .filter = &filter, .limit = 1};

    mongo_append_text(&filter, "_id", key);
    enum err e = mongo_find(mongo_of(s), &q, &reply, &batch);
    bson_destroy(&filter);
    if (e)
        return e;
    if (mongo_next(&batch, &doc))
        failures_of(&doc, now_ms, ret);
    else
        *ret = (struct login_failures){0};
    bson_destroy(&reply);
    return ERR_OK;
}

/* A pipeline: while the window lasts the count grows, else both begin anew. */
static bson_t *count_one(int64_t now_ms, int64_t until_ms)
{
    return BCON_NEW("0", "{", "$set", "{", "count", "{", "$cond", "[", "{", "$gt", "[",
                    BCON_UTF8("$until"), BCON_DATE_TIME(now_ms), "]", "}", "{", "$add", "[",
                    BCON_UTF8("$count"), BCON_INT32(1), "]", "}", BCON_INT32(1), "]", "}", "until",
                    "{", "$cond", "[", "{", "$gt", "[", BCON_UTF8("$until"), BCON_DATE_TIME(now_ms),
                    "]", "}", BCON_UTF8("$until"), BCON_DATE_TIME(until_ms), "]", "}", "}", "}");
}

enum err mongo_login_failed(struct store *s, struct text key, int64_t now_ms, int64_t window_ms,
                            struct login_failures *ret)
{
    bson_t command = BSON_INITIALIZER, query, reply, doc;
    bson_t *pipeline = count_one(now_ms, now_ms + window_ms);

    BSON_APPEND_UTF8(&command, "findAndModify", LOGIN_FAILURES);
    BSON_APPEND_DOCUMENT_BEGIN(&command, "query", &query);
    mongo_append_text(&query, "_id", key);
    bson_append_document_end(&command, &query);
    BSON_APPEND_ARRAY(&command, "update", pipeline);
    BSON_APPEND_BOOL(&command, "upsert", true);
    BSON_APPEND_BOOL(&command, "new", true);
    enum err e = mongo_modify(mongo_of(s), &command, &reply, &doc);
    bson_destroy(&command);
    bson_destroy(pipeline);
    if (e)
        return e;
    failures_of(&doc, now_ms, ret);
    bson_destroy(&reply);
    return ERR_OK;
}

enum err mongo_login_forget(struct store *s, struct text key)
{
    bson_t filter = BSON_INITIALIZER;

    mongo_append_text(&filter, "_id", key);
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
