/* The outbox: states of events, dead letters, upkeep. */
#include "worker/store/mongo/outbox.h"

#include <stdlib.h>
#include <string.h>

/* Number of the oldest events that one purge checks for a missing lane. */
#define ADOPT_MAX 1000
/* Younger events may still get their lane from the process that stores them. */
#define ADOPT_AGE_MS 30000

static enum err find_by_id(struct mongo *m, const char *collection, const char *id,
                           struct db_found *ret)
{
    return db_get(m, collection, doc_of("_id: ?", v_str(id)), NULL, ret);
}

enum err mongo_outbox_look(struct store *s, const char *id, struct outbox_look *ret)
{
    struct mongo *m = mongo_of(s);
    struct db_found f;
    enum err e = find_by_id(m, OUTBOX, id, &f);

    if (e)
        return e;
    struct text answer = doc_bytes(&f.doc, "answer");
    ret->state = outbox_state_of(&f.doc);
    ret->status = (int)doc_int(&f.doc, "status", 0);
    ret->answer_len = answer.len < sizeof ret->answer ? answer.len : sizeof ret->answer;
    memcpy(ret->answer, answer.s, ret->answer_len);
    ret->due_ms = 0;
    char *lane = doc_dup(&f.doc, "lane");
    db_end(&f);
    if (ret->state == OUTBOX_PENDING) {
        e = find_by_id(m, LANES, lane, &f);
        if (!e)
            ret->due_ms = doc_date(&f.doc, "due_at");
        db_end(&f);
    }
    free(lane);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/* ---- dead letters ---- */

static json_t *letter(const bson_t *doc)
{
    static const char *const texts[][2] = {{"id", "_id"},
                                           {"job_id", "job_id"},
                                           {"receiver", "receiver"},
                                           {"url", "url"},
                                           {"reason", "reason"}};
    struct text answer = doc_bytes(doc, "answer");
    json_t *o = json_object(), *text = json_stringn(answer.s, answer.len);

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *value = doc_str(doc, texts[i][1]);
        json_object_set_new(o, texts[i][0], json_string(value ? value : ""));
    }
    json_object_set_new(o, "answer", text ? text : json_string("(not text)"));
    json_object_set_new(o, "tries", json_integer(doc_int(doc, "tries", 0)));
    json_object_set_new(o, "status", json_integer(doc_int(doc, "status", 0)));
    json_object_set_new(o, "created_ms", json_integer(doc_date(doc, "created_at")));
    json_object_set_new(o, "dead_ms", json_integer(doc_date(doc, "at")));
    return o;
}

/* The filter of dead letters after the one of this id. ERR_NOT_FOUND: it is not dead. */
static enum err append_after(struct mongo *m, bson_t *filter, const char *id)
{
    struct db_found f;
    enum err e = find_by_id(m, OUTBOX, id, &f);

    if (!e && outbox_state_of(&f.doc) != OUTBOX_DEAD)
        e = ERR_NOT_FOUND;
    if (!e)
        doc_add(filter, "$or: [{at: {$gt: ?}}, {at: ?, _id: {$gt: ?}}]", v_field(&f.doc, "at"),
                v_field(&f.doc, "at"), v_str(id));
    db_end(&f);
    return e;
}

/* Appends one batch of at most `limit` letters after the one of this id (NULL: the first).
 * *ret_more: there are further ones. */
static enum err dead_batch(struct mongo *m, const char *after, size_t limit, json_t *all,
                           bool *ret_more)
{
    struct db_query q = {.collection = OUTBOX,
                         .filter = doc_of("state: 'dead'"),
                         .fields = "body: false",
                         .index = IX_STATE,
                         .in_order = true,
                         .limit = (int)limit,
                         .more = ret_more};
    struct db_found f;
    enum err e = after ? append_after(m, q.filter, after) : ERR_OK;

    if (e) {
        bson_destroy(q.filter);
        return e;
    }
    e = db_find(m, &q, &f);
    while (!e && db_next(&f))
        json_array_append_new(all, letter(&f.doc));
    db_end(&f);
    return e;
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
    struct db_change revival = outbox_revival(id, now_ms);
    struct db_found f;

    revival.fields = "lane: true, receiver: true";
    enum err e = db_modify(m, OUTBOX, &revival, &f);
    if (e)
        return e;
    const char *lane = doc_str(&f.doc, "lane"), *receiver = doc_str(&f.doc, "receiver");
    e = outbox_wake_one(m, lane ? lane : "", receiver ? receiver : "", now_ms);
    db_end(&f);
    return e;
}

/* ---- upkeep ---- */

/* Makes the lane of events whose process died before it did (outbox.h). */
static enum err adopt(struct mongo *m, int64_t now_ms)
{
    bson_t *pipeline =
        doc_of("[{$match: {state: 'pending', at: {$lt: ?}}}, {$sort: {at: 1}}, {$limit: ?}, "
               "{$group: {_id: '$lane', receiver: {$first: '$receiver'}}}, "
               "{$lookup: {from: '" LANES "', localField: '_id', foreignField: '_id', "
               "as: 'known'}}, {$match: {known: []}}]",
               v_date(now_ms - ADOPT_AGE_MS), v_int(ADOPT_MAX));
    struct db_found f;
    enum err e = db_aggregate(m, OUTBOX, pipeline, IX_NONE, &f);

    while (!e && db_next(&f)) {
        const char *lane = doc_str(&f.doc, "_id"), *receiver = doc_str(&f.doc, "receiver");
        e = outbox_wake_one(m, lane ? lane : "", receiver ? receiver : "", now_ms);
    }
    db_end(&f);
    return e;
}

/* Removes up to `limit` events of a state older than a time. */
static enum err purge(struct mongo *m, enum outbox_state state, int64_t before_ms, size_t limit,
                      size_t *removed)
{
    const char *text = outbox_state_text(state);
    bson_t ids = BSON_INITIALIZER;
    struct db_batch b;
    struct db_done done = {0};
    struct db_found f;
    size_t n = 0;
    enum err e =
        DB_FIND(m, &f, .collection = OUTBOX,
                .filter = doc_of("state: ?, at: {$lt: ?}", v_str(text), v_date(before_ms)),
                .fields = "_id: true", .index = IX_STATE, .in_order = true, .limit = (int)limit);

    while (!e && db_next(&f))
        doc_put_at(&ids, n++, v_field(&f.doc, "_id"));
    db_end(&f);
    if (n) {
        outbox_batch(&b, OUTBOX);
        b.light = true;
        db_add_delete(&b, doc_of("_id: {$in: ?}, state: ?", v_array(&ids), v_str(text)), true);
        e = db_run(m, &b, &done);
    }
    bson_destroy(&ids);
    *removed += (size_t)done.matched;
    return e;
}

enum err mongo_outbox_purge(struct store *s, struct outbox_purge *p)
{
    struct mongo *m = mongo_of(s);

    p->removed = 0;
    enum err e = p->mend ? adopt(m, p->now_ms) : ERR_OK;
    if (!e)
        e = purge(m, OUTBOX_DELIVERED, p->delivered_before_ms, p->limit, &p->removed);
    if (!e)
        e = purge(m, OUTBOX_DEAD, p->dead_before_ms, p->limit, &p->removed);
    return e;
}

static enum err count(struct mongo *m, enum outbox_state state, int64_t *ret)
{
    bson_t reply;
    enum err e =
        db_read(m,
                doc_of("count: '" OUTBOX "', query: {state: ?}, hint: ?",
                       v_str(outbox_state_text(state)), v_own(doc_of(index_keys(IX_STATE)))),
                &reply);

    if (e)
        return e;
    *ret = doc_int(&reply, "n", 0);
    bson_destroy(&reply);
    return ERR_OK;
}

enum err mongo_outbox_count(struct store *s, struct outbox_backlog *ret)
{
    struct mongo *m = mongo_of(s);
    struct outbox_backlog b = {0};
    struct db_found f;
    enum err e = count(m, OUTBOX_PENDING, &b.pending);

    if (!e)
        e = count(m, OUTBOX_DEAD, &b.dead);
    if (e)
        return e;
    e = DB_FIRST(m, &f, .collection = OUTBOX, .filter = doc_of("state: 'pending'"),
                 .fields = "at: true", .index = IX_STATE, .in_order = true);
    if (e && e != ERR_NOT_FOUND)
        return e;
    if (!e)
        b.oldest_ms = doc_date(&f.doc, "at");
    db_end(&f);
    *ret = b;
    return ERR_OK;
}
