/* The outbox: lanes, and what its files share. */
#include "worker/store/mongo/outbox.h"

#include "common/log.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

char *outbox_text(const bson_t *doc, const char *field, size_t *ret_len)
{
    bson_iter_t it;
    uint32_t len = 0;
    const char *s = bson_iter_init_find(&it, doc, field) && BSON_ITER_HOLDS_UTF8(&it)
                        ? bson_iter_utf8(&it, &len)
                        : "";

    if (ret_len)
        *ret_len = len;
    return mem_strndup(s, len);
}

bool outbox_text_is(const bson_t *doc, const char *field, const char *text)
{
    bson_iter_t it;

    return bson_iter_init_find(&it, doc, field) && BSON_ITER_HOLDS_UTF8(&it) &&
           strcmp(bson_iter_utf8(&it, NULL), text) == 0;
}

int64_t outbox_int(const bson_t *doc, const char *field)
{
    bson_iter_t it;

    return bson_iter_init_find(&it, doc, field) ? bson_iter_as_int64(&it) : 0;
}

enum err outbox_run(struct mongo *m, const char *verb, const char *collection, const char *name,
                    const bson_t *list, struct mongo_changed *ret)
{
    bson_t command = BSON_INITIALIZER;

    bson_append_utf8(&command, verb, -1, collection, -1);
    BSON_APPEND_BOOL(&command, "ordered", false);
    bson_append_array(&command, name, -1, list);
    enum err e = mongo_write_all(m, &command, m->fixed.light, ret);
    bson_destroy(&command);
    return e;
}

/* ---- lanes ---- */

void outbox_wake_append(bson_t *updates, size_t index, const char *lane, const char *receiver,
                        const char *token, int64_t due_ms)
{
    bson_t filter = BSON_INITIALIZER, update = BSON_INITIALIZER, child;
    struct mongo_change change = {.filter = &filter, .update = &update, .upsert = true};

    BSON_APPEND_UTF8(&filter, "_id", lane);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$inc", &child);
    BSON_APPEND_INT64(&child, "wake", 1);
    bson_append_document_end(&update, &child);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$setOnInsert", &child);
    BSON_APPEND_UTF8(&child, "receiver", receiver);
    BSON_APPEND_DATE_TIME(&child, "due_at", due_ms);
    if (token)
        BSON_APPEND_UTF8(&child, "token", token);
    bson_append_document_end(&update, &child);
    mongo_change_append(updates, index, &change);
    bson_destroy(&filter);
    bson_destroy(&update);
}

void outbox_command(bson_t *command, const char *collection, const bson_t *updates)
{
    BSON_APPEND_UTF8(command, "update", collection);
    BSON_APPEND_BOOL(command, "ordered", false);
    BSON_APPEND_ARRAY(command, "updates", updates);
}

enum err outbox_wake(struct mongo *m, const bson_t *updates, bson_t *ret_reply)
{
    bson_t command = BSON_INITIALIZER;
    bson_iter_t it;

    outbox_command(&command, LANES, updates);
    enum err e = mongo_write(m, &command, ret_reply);
    bson_destroy(&command);
    if (e || !mongo_field(ret_reply, "writeErrors.0.code", &it))
        return e;
    e = mongo_code_err((int)bson_iter_as_int64(&it));
    if (e != ERR_CONFLICT)
        log_error("a lane of webhook events could not be stored (code %lld); see the server's log",
                  (long long)bson_iter_as_int64(&it));
    bson_destroy(ret_reply);
    return e;
}

enum err outbox_wake_one(struct mongo *m, const char *lane, const char *receiver, int64_t now_ms)
{
    bson_t updates = BSON_INITIALIZER, reply;

    outbox_wake_append(&updates, 0, lane, receiver, NULL, now_ms);
    enum err e = outbox_wake(m, &updates, &reply);
    if (e == ERR_CONFLICT)
        e = outbox_wake(m, &updates, &reply);
    bson_destroy(&updates);
    if (!e)
        bson_destroy(&reply);
    return e;
}

/* ---- the end of a claim ---- */

void outbox_release_init(struct outbox_release *r)
{
    r->drop_len = r->release_len = 0;
    bson_init(&r->drop);
    bson_init(&r->release);
}

void outbox_release_until(struct outbox_release *r, const char *lane, const char *token,
                          int64_t due_ms)
{
    bson_t filter = BSON_INITIALIZER, update = BSON_INITIALIZER, child;
    struct mongo_change change = {.filter = &filter, .update = &update};

    BSON_APPEND_UTF8(&filter, "_id", lane);
    BSON_APPEND_UTF8(&filter, "token", token);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &child);
    BSON_APPEND_DATE_TIME(&child, "due_at", due_ms);
    bson_append_document_end(&update, &child);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$unset", &child);
    BSON_APPEND_UTF8(&child, "token", "");
    bson_append_document_end(&update, &child);
    mongo_change_append(&r->release, r->release_len++, &change);
    bson_destroy(&filter);
    bson_destroy(&update);
}

void outbox_release_empty(struct outbox_release *r, const char *lane, const char *token,
                          int64_t wake, int64_t now_ms)
{
    bson_t statement, filter;
    char key[MONGO_INDEX_SIZE];

    const char *index = mongo_index(r->drop_len++, key);
    BSON_APPEND_DOCUMENT_BEGIN(&r->drop, index, &statement);
    BSON_APPEND_DOCUMENT_BEGIN(&statement, "q", &filter);
    BSON_APPEND_UTF8(&filter, "_id", lane);
    BSON_APPEND_UTF8(&filter, "token", token);
    BSON_APPEND_INT64(&filter, "wake", wake);
    bson_append_document_end(&statement, &filter);
    BSON_APPEND_INT32(&statement, "limit", 1);
    bson_append_document_end(&r->drop, &statement);
    outbox_release_until(r, lane, token, now_ms);
}

enum err outbox_release_run(struct mongo *m, struct outbox_release *r)
{
    struct mongo_changed dropped = {0};
    enum err e = ERR_OK;

    if (r->drop_len)
        e = outbox_run(m, "delete", LANES, "deletes", &r->drop, &dropped);
    if (!e && (size_t)dropped.matched < r->release_len)
        e = outbox_run(m, "update", LANES, "updates", &r->release, NULL);
    bson_destroy(&r->drop);
    bson_destroy(&r->release);
    return e;
}
