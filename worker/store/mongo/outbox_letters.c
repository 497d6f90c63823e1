/* The outbox: how events stand, dead letters, upkeep. */
#include "worker/store/mongo/outbox.h"

#include "common/log.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

/* Events without a lane that one purge looks for among the oldest ones. */
#define ADOPT_MAX 1000
/* Not before this age: its process may be about to make the lane. */
#define ADOPT_AGE_MS 30000

static enum err find_by_id(struct mongo *m, const char *collection, const char *id,
                           bson_t *ret_reply, bson_t *ret_doc)
{
    bson_t filter = BSON_INITIALIZER;
    struct mongo_query q = {.collection = collection, .filter = &filter, .limit = 1};
    bson_iter_t batch;

    BSON_APPEND_UTF8(&filter, "_id", id);
    enum err e = mongo_find(m, &q, ret_reply, &batch);
    bson_destroy(&filter);
    if (!e && !mongo_next(&batch, ret_doc)) {
        bson_destroy(ret_reply);
        e = ERR_NOT_FOUND;
    }
    return e;
}

static struct text answer_of(const bson_t *doc)
{
    bson_iter_t it;
    bson_subtype_t type;
    const uint8_t *data;
    uint32_t len;

    if (!bson_iter_init_find(&it, doc, "answer") || !BSON_ITER_HOLDS_BINARY(&it))
        return (struct text){"", 0};
    bson_iter_binary(&it, &type, &len, &data);
    return (struct text){(const char *)data, len};
}

enum err mongo_outbox_look(struct store *s, const char *id, struct outbox_look *ret)
{
    struct mongo *m = mongo_of(s);
    bson_t reply, doc;
    enum err e = find_by_id(m, OUTBOX, id, &reply, &doc);

    if (e)
        return e;
    struct text answer = answer_of(&doc);
    ret->state = outbox_text_is(&doc, "state", PENDING) ? OUTBOX_PENDING
                 : outbox_text_is(&doc, "state", DEAD)  ? OUTBOX_DEAD
                                                        : OUTBOX_DELIVERED;
    ret->status = (int)outbox_int(&doc, "status");
    ret->answer_len = answer.len < sizeof ret->answer ? answer.len : sizeof ret->answer;
    memcpy(ret->answer, answer.s, ret->answer_len);
    ret->due_ms = 0;
    if (ret->state == OUTBOX_PENDING) {
        char *lane = outbox_text(&doc, "lane", NULL);
        bson_destroy(&reply);
        e = find_by_id(m, LANES, lane, &reply, &doc);
        free(lane);
        if (e)
            return e == ERR_NOT_FOUND ? ERR_OK : e;
        ret->due_ms = mongo_date(&doc, "due_at");
    }
    bson_destroy(&reply);
    return ERR_OK;
}

/* ---- dead letters ---- */

static json_t *letter(const bson_t *doc)
{
    static const char *const texts[] = {"job_id", "receiver", "url", "reason"};
    struct text answer = answer_of(doc);
    json_t *o = json_object(), *text = json_stringn(answer.s, answer.len);
    char *id = outbox_text(doc, "_id", NULL);

    json_object_set_new(o, "id", json_string(id));
    free(id);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char *value = outbox_text(doc, texts[i], NULL);
        json_object_set_new(o, texts[i], json_string(value));
        free(value);
    }
    json_object_set_new(o, "answer", text ? text : json_string("(not text)"));
    json_object_set_new(o, "tries", json_integer(outbox_int(doc, "tries")));
    json_object_set_new(o, "status", json_integer(outbox_int(doc, "status")));
    json_object_set_new(o, "created_ms", json_integer(mongo_date(doc, "created_at")));
    json_object_set_new(o, "dead_ms", json_integer(mongo_date(doc, "at")));
    return o;
}

/* What comes after the dead letter of this id. ERR_NOT_FOUND: there is none of it. */
static enum err append_after(struct mongo *m, bson_t *filter, const char *id)
{
    bson_t reply, doc, list, branch, child;
    enum err e = find_by_id(m, OUTBOX, id, &reply, &doc);

    if (e)
        return e;
    if (!outbox_text_is(&doc, "state", DEAD)) {
        bson_destroy(&reply);
        return ERR_NOT_FOUND;
    }
    int64_t at = mongo_date(&doc, "at");
    bson_destroy(&reply);
    BSON_APPEND_ARRAY_BEGIN(filter, "$or", &list);
    BSON_APPEND_DOCUMENT_BEGIN(&list, "0", &branch);
    BSON_APPEND_DOCUMENT_BEGIN(&branch, "at", &child);
    BSON_APPEND_DATE_TIME(&child, "$gt", at);
    bson_append_document_end(&branch, &child);
    bson_append_document_end(&list, &branch);
    BSON_APPEND_DOCUMENT_BEGIN(&list, "1", &branch);
    BSON_APPEND_DATE_TIME(&branch, "at", at);
    BSON_APPEND_DOCUMENT_BEGIN(&branch, "_id", &child);
    BSON_APPEND_UTF8(&child, "$gt", id);
    bson_append_document_end(&branch, &child);
    bson_append_document_end(&list, &branch);
    bson_append_array_end(filter, &list);
    return ERR_OK;
}

/* Appends one batch of at most `limit` letters behind the one of this id (NULL: the first ones).
 * *ret_more: there are further ones. */
static enum err dead_batch(struct mongo *m, const char *after, size_t limit, json_t *all,
                           bool *ret_more)
{
    bson_t filter = BSON_INITIALIZER, projection = BSON_INITIALIZER, reply, doc;
    struct mongo_query q = {.collection = OUTBOX,
                            .filter = &filter,
                            .projection = &projection,
                            .sort = m->fixed.by_state,
                            .hint = m->fixed.by_state,
                            .limit = (int)limit,
                            .more = ret_more};
    bson_iter_t batch;

    BSON_APPEND_UTF8(&filter, "state", DEAD);
    BSON_APPEND_BOOL(&projection, "body", false);
    enum err e = after ? append_after(m, &filter, after) : ERR_OK;
    if (!e)
        e = mongo_find(m, &q, &reply, &batch);
    bson_destroy(&filter);
    bson_destroy(&projection);
    if (e)
        return e;
    while (mongo_next(&batch, &doc))
        json_array_append_new(all, letter(&doc));
    bson_destroy(&reply);
    return ERR_OK;
}

enum err mongo_outbox_dead(struct store *s, const struct outbox_page *page, json_t **ret)
{
    json_t *all = json_array();
    const char *after = page->after;
    bool more = true;
    enum err e = ERR_OK;
    size_t n = 0;

    while (!e && more && n < page->limit) {
        e = dead_batch(mongo_of(s), after, page->limit - n, all, &more);
        if (e == ERR_NOT_FOUND && n) { /* that letter was sent again just now */
            e = ERR_OK;
            break;
        }
        more = more && json_array_size(all) > n;
        n = json_array_size(all);
        after = n ? json_string_value(json_object_get(json_array_get(all, n - 1), "id")) : NULL;
    }
    if (e)
        json_decref(all);
    else
        *ret = all;
    return e;
}

enum err mongo_outbox_resend(struct store *s, const char *id, int64_t now_ms)
{
    struct mongo *m = mongo_of(s);
    bson_t filter = BSON_INITIALIZER, update = BSON_INITIALIZER, set, reply, doc;
    struct mongo_change change = {.filter = &filter, .update = &update};
    struct mongo_changed done = {0};
    enum err e = find_by_id(m, OUTBOX, id, &reply, &doc);

    if (e)
        return e;
    char *lane = outbox_text(&doc, "lane", NULL), *receiver = outbox_text(&doc, "receiver", NULL);
    bson_destroy(&reply);
    BSON_APPEND_UTF8(&filter, "_id", id);
    BSON_APPEND_UTF8(&filter, "state", DEAD);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set);
    BSON_APPEND_UTF8(&set, "state", PENDING);
    BSON_APPEND_INT32(&set, "tries", 0);
    BSON_APPEND_DATE_TIME(&set, "at", now_ms);
    bson_append_document_end(&update, &set);
    e = mongo_update(m, OUTBOX, &change, &done);
    bson_destroy(&filter);
    bson_destroy(&update);
    if (!e && !done.matched)
        e = ERR_NOT_FOUND;
    if (!e)
        e = outbox_wake_one(m, lane, receiver, now_ms);
    free(lane);
    free(receiver);
    return e;
}

/* ---- upkeep ---- */

/* Gives lanes to events that lost theirs when a process died (see outbox.h). */
static enum err adopt(struct mongo *m, int64_t now_ms)
{
    bson_t *command =
        BCON_NEW("aggregate", OUTBOX, "pipeline", "[", "{", "$match", "{", "state", PENDING, "at",
                 "{", "$lt", BCON_DATE_TIME(now_ms - ADOPT_AGE_MS), "}", "}", "}", "{", "$sort",
                 "{", "at", BCON_INT32(1), "}", "}", "{", "$limit", BCON_INT32(ADOPT_MAX), "}", "{",
                 "$group", "{", "_id", "$lane", "receiver", "{", "$first", "$receiver", "}", "}",
                 "}", "{", "$lookup", "{", "from", LANES, "localField", "_id", "foreignField",
                 "_id", "as", "known", "}", "}", "{", "$match", "{", "known", "[", "]", "}", "}",
                 "]", "cursor", "{", "batchSize", BCON_INT32(ADOPT_MAX), "}");
    bson_t reply, doc;
    bson_iter_t at, batch;
    enum err e = mongo_read(m, command, &reply);

    bson_destroy(command);
    if (e)
        return e;
    if (mongo_field(&reply, "cursor.firstBatch", &at) && bson_iter_recurse(&at, &batch))
        while (!e && mongo_next(&batch, &doc)) {
            char *lane = outbox_text(&doc, "_id", NULL);
            char *receiver = outbox_text(&doc, "receiver", NULL);
            e = outbox_wake_one(m, lane, receiver, now_ms);
            free(lane);
            free(receiver);
        }
    bson_destroy(&reply);
    return e;
}

/* Removes up to `limit` events of a state that are older than a time. */
static enum err purge(struct mongo *m, const char *state, int64_t before_ms, size_t limit,
                      size_t *removed)
{
    bson_t filter = BSON_INITIALIZER, projection = BSON_INITIALIZER, child, list, reply, doc,
           deletes = BSON_INITIALIZER, statement;
    struct mongo_query q = {.collection = OUTBOX,
                            .filter = &filter,
                            .projection = &projection,
                            .sort = m->fixed.by_state,
                            .hint = m->fixed.by_state,
                            .limit = (int)limit};
    struct mongo_changed done = {0};
    bson_iter_t batch, it;
    char key[MONGO_INDEX_SIZE];
    size_t n = 0;

    BSON_APPEND_UTF8(&filter, "state", state);
    BSON_APPEND_DOCUMENT_BEGIN(&filter, "at", &child);
    BSON_APPEND_DATE_TIME(&child, "$lt", before_ms);
    bson_append_document_end(&filter, &child);
    BSON_APPEND_BOOL(&projection, "_id", true);
    enum err e = mongo_find(m, &q, &reply, &batch);
    if (!e) {
        bson_reinit(&filter);
        BSON_APPEND_DOCUMENT_BEGIN(&filter, "_id", &child);
        BSON_APPEND_ARRAY_BEGIN(&child, "$in", &list);
        while (mongo_next(&batch, &doc))
            if (bson_iter_init_find(&it, &doc, "_id"))
                bson_append_iter(&list, mongo_index(n++, key), -1, &it);
        bson_append_array_end(&child, &list);
        bson_append_document_end(&filter, &child);
        BSON_APPEND_UTF8(&filter, "state", state);
        BSON_APPEND_DOCUMENT_BEGIN(&deletes, "0", &statement);
        BSON_APPEND_DOCUMENT(&statement, "q", &filter);
        BSON_APPEND_INT32(&statement, "limit", 0);
        bson_append_document_end(&deletes, &statement);
        bson_destroy(&reply);
        if (n)
            e = outbox_run(m, "delete", OUTBOX, "deletes", &deletes, &done);
    }
    *removed += (size_t)done.matched;
    bson_destroy(&filter);
    bson_destroy(&projection);
    bson_destroy(&deletes);
    return e;
}

enum err mongo_outbox_purge(struct store *s, struct outbox_purge *p)
{
    struct mongo *m = mongo_of(s);

    p->removed = 0;
    enum err e = p->mend ? adopt(m, p->now_ms) : ERR_OK;
    if (!e)
        e = purge(m, DELIVERED, p->delivered_before_ms, p->limit, &p->removed);
    if (!e)
        e = purge(m, DEAD, p->dead_before_ms, p->limit, &p->removed);
    return e;
}

static enum err count(struct mongo *m, const char *state, int64_t *ret)
{
    bson_t command = BSON_INITIALIZER, query, reply;

    BSON_APPEND_UTF8(&command, "count", OUTBOX);
    BSON_APPEND_DOCUMENT_BEGIN(&command, "query", &query);
    BSON_APPEND_UTF8(&query, "state", state);
    bson_append_document_end(&command, &query);
    BSON_APPEND_DOCUMENT(&command, "hint", m->fixed.by_state);
    enum err e = mongo_read(m, &command, &reply);
    bson_destroy(&command);
    if (e)
        return e;
    *ret = outbox_int(&reply, "n");
    bson_destroy(&reply);
    return ERR_OK;
}

enum err mongo_outbox_count(struct store *s, struct outbox_backlog *ret)
{
    struct mongo *m = mongo_of(s);
    struct outbox_backlog b = {0};
    bson_t filter = BSON_INITIALIZER, projection = BSON_INITIALIZER, reply, doc;
    struct mongo_query q = {.collection = OUTBOX,
                            .filter = &filter,
                            .projection = &projection,
                            .sort = m->fixed.by_state,
                            .hint = m->fixed.by_state,
                            .limit = 1};
    bson_iter_t batch;
    enum err e = count(m, PENDING, &b.pending);

    if (!e)
        e = count(m, DEAD, &b.dead);
    BSON_APPEND_UTF8(&filter, "state", PENDING);
    BSON_APPEND_BOOL(&projection, "at", true);
    if (!e && !(e = mongo_find(m, &q, &reply, &batch))) {
        if (mongo_next(&batch, &doc))
            b.oldest_ms = mongo_date(&doc, "at");
        bson_destroy(&reply);
    }
    bson_destroy(&filter);
    bson_destroy(&projection);
    if (!e)
        *ret = b;
    return e;
}
