/* Live output of jobs: documents {job_id, NAME: [texts], updated_at} in a collection for each type.
 * Ours beside these: `size`, bytes that went in, `recent`, the requests that did, and `at`, when
 * each entry came (of the newest entries, where the document is of another server). The server
 * writes the whole document at each append, so that one that is large enough is followed by a new
 * one. */
#include "worker/store/mongo/mongo.h"

#include "common/clock.h"
#include "common/log.h"
#include "worker/store/mongo/bsonjson.h"

#include <string.h>

/* A document of this size is followed by a new one. */
#define DOCUMENT_FULL ((int64_t)64 * 1024)

/* What a document may hold, with room for what is around it. */
#define DOCUMENT_SIZE_MAX ((int64_t)(STORE_DOCUMENT_MAX - 16 * 1024))

#define ENTRY_OVERHEAD 32 /* of BSON: type, index, length, NUL; and of its time */
#define RECENT_MAX     32 /* requests that a repeat is recognised among */
#define TAKE_TRIES     8

/* Collection and field have one name. */
static const char *const names[] = {[OUTPUT_OUTPUT] = OUTPUT, [OUTPUT_SERIAL] = SERIAL};

static enum err stored_already(struct mongo *m, const struct output_append *a, bool *ret)
{
    bson_t filter = BSON_INITIALIZER, projection = BSON_INITIALIZER, reply, doc;
    bson_iter_t batch;
    struct mongo_query q = {.collection = names[a->type],
                            .filter = &filter,
                            .projection = &projection,
                            .hint = m->fixed.by_output,
                            .limit = 1};

    mongo_append_text(&filter, "job_id", a->job_id);
    BSON_APPEND_UTF8(&filter, "recent", a->asked.request_id);
    BSON_APPEND_BOOL(&projection, "_id", true);
    enum err e = mongo_find(m, &q, &reply, &batch);
    bson_destroy(&filter);
    bson_destroy(&projection);
    if (e)
        return e;
    *ret = mongo_next(&batch, &doc);
    bson_destroy(&reply);
    return ERR_OK;
}

/* {$push: {NAME: text, at: now, recent: {$each: [id], $slice: -RECENT_MAX}}, $inc: {size}, $set:
 * {updated_at: now}} */
static void append_update(bson_t *update, const struct output_append *a, int64_t size)
{
    int64_t now_ms = clock_wall_us() / 1000;
    bson_t child, recent, each;

    BSON_APPEND_DOCUMENT_BEGIN(update, "$push", &child);
    mongo_append_text(&child, names[a->type], a->text);
    BSON_APPEND_DATE_TIME(&child, "at", now_ms);
    BSON_APPEND_DOCUMENT_BEGIN(&child, "recent", &recent);
    BSON_APPEND_ARRAY_BEGIN(&recent, "$each", &each);
    BSON_APPEND_UTF8(&each, "0", a->asked.request_id);
    bson_append_array_end(&recent, &each);
    BSON_APPEND_INT32(&recent, "$slice", -RECENT_MAX);
    bson_append_document_end(&child, &recent);
    bson_append_document_end(update, &child);
    BSON_APPEND_DOCUMENT_BEGIN(update, "$inc", &child);
    mongo_append_int(&child, "size", size);
    bson_append_document_end(update, &child);
    BSON_APPEND_DOCUMENT_BEGIN(update, "$set", &child);
    BSON_APPEND_DATE_TIME(&child, "updated_at", now_ms);
    bson_append_document_end(update, &child);
}

/* Appends to an array of statements: the entry goes to the document that has room, or to a new one.
 * `room`: the size up to which one has. */
static void append_statement(struct mongo *m, bson_t *updates, size_t index,
                             const struct output_append *a, int64_t size, int64_t room)
{
    bson_t filter = BSON_INITIALIZER, update = BSON_INITIALIZER, child, range;
    struct mongo_change change = {
        .filter = &filter, .update = &update, .hint = m->fixed.by_output, .upsert = true};

    mongo_append_text(&filter, "job_id", a->job_id);
    BSON_APPEND_DOCUMENT_BEGIN(&filter, "size", &child);
    BSON_APPEND_DOCUMENT_BEGIN(&child, "$not", &range); /* a document of others has no size */
    mongo_append_int(&range, "$gt", room);
    bson_append_document_end(&child, &range);
    bson_append_document_end(&filter, &child);
    append_update(&update, a, size);
    mongo_change_append(updates, index, &change);
    bson_destroy(&filter);
    bson_destroy(&update);
}

static enum err append_entry(struct mongo *m, const struct output_append *a, int64_t size,
                             int64_t room)
{
    bson_t command = BSON_INITIALIZER, updates;

    BSON_APPEND_UTF8(&command, "update", names[a->type]);
    BSON_APPEND_ARRAY_BEGIN(&command, "updates", &updates);
    append_statement(m, &updates, 0, a, size, room);
    bson_append_array_end(&command, &updates);
    enum err e = mongo_write_all(m, &command, NULL, NULL);
    bson_destroy(&command);
    return e;
}

/* A document without (our) size turned out to be full: gives it one. */
static enum err mark_full(struct mongo *m, const struct output_append *a)
{
    bson_t filter = BSON_INITIALIZER, update = BSON_INITIALIZER, set;
    struct mongo_change change = {.filter = &filter, .update = &update};

    mongo_append_text(&filter, "job_id", a->job_id);
    BSON_APPEND_NULL(&filter, "size");
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set);
    BSON_APPEND_INT64(&set, "size", (int64_t)STORE_DOCUMENT_MAX);
    bson_append_document_end(&update, &set);
    enum err e = mongo_update(m, names[a->type], &change, NULL);
    bson_destroy(&filter);
    bson_destroy(&update);
    return e;
}

/* Size that an entry adds, and up to which size a document has room for it. */
static int64_t entry_size(const struct output_append *a, int64_t *ret_room)
{
    int64_t size = (int64_t)a->text.len + ENTRY_OVERHEAD, room = DOCUMENT_SIZE_MAX - size;

    *ret_room = room < DOCUMENT_FULL ? room : DOCUMENT_FULL;
    return size;
}

static enum err append_one(struct mongo *m, const struct output_append *a)
{
    int64_t room, size = entry_size(a, &room);
    bool stored = false;
    enum err e;

    if (room < 0)
        return ERR_TOO_LARGE;
    if (a->asked.repeat && ((e = stored_already(m, a, &stored)) || stored))
        return e;
    e = append_entry(m, a, size, room);
    if (e == ERR_TOO_LARGE && (e = mark_full(m, a)) == ERR_OK)
        e = append_entry(m, a, size, room);
    return e;
}

/* Appends as many as one trip can: all of one type, none of which needs care. Returns how many have
 * their outcome now; the next one is to be appended alone. */
static size_t append_many(struct mongo *m, struct output_append *appends, size_t n)
{
    bson_t updates = BSON_INITIALIZER;
    struct mongo_changed changed;
    size_t len = 0, done = 0;
    enum err e = ERR_OK;

    for (int64_t room; len < n; len++) {
        struct output_append *a = &appends[len];
        int64_t size = entry_size(a, &room);
        if (a->asked.repeat || room < DOCUMENT_FULL || a->type != appends[0].type)
            break;
        append_statement(m, &updates, len, a, size, room);
    }
    if (len > 1)
        e = mongo_update_many(m, names[appends[0].type], &updates, len, &changed, &done);
    bson_destroy(&updates);
    if (e) /* they may have gone in: not once more */
        done = len;
    for (size_t i = 0; i < done; i++)
        appends[i].err = e;
    return done;
}

enum err mongo_outputs_append(struct store *s, struct output_append *appends, size_t n)
{
    struct mongo *m = mongo_of(s);

    for (size_t i = 0; i < n;) {
        i += append_many(m, &appends[i], n - i);
        if (i < n) {
            appends[i].err = append_one(m, &appends[i]);
            i++;
        }
    }
    return ERR_OK;
}

/* ---- taking ---- */

static json_t *entries_of(const bson_t *doc, const char *name)
{
    bson_iter_t it;
    json_t *entries = mongo_field(doc, name, &it) ? bsonjson_value(&it) : NULL;

    if (json_is_array(entries))
        return entries;
    json_decref(entries);
    return json_array();
}

/* Removes a document if it still has as many entries as were read. Should the server die now, the
 * text may come twice, which is better than never. */
static enum err remove_read(struct mongo *m, const char *name, const bson_t *doc, size_t entries,
                            bool *ret_removed)
{
    bson_t command = BSON_INITIALIZER, deletes, statement, filter, child;
    bson_iter_t it;
    struct mongo_changed done;

    BSON_APPEND_UTF8(&command, "delete", name);
    BSON_APPEND_ARRAY_BEGIN(&command, "deletes", &deletes);
    BSON_APPEND_DOCUMENT_BEGIN(&deletes, "0", &statement);
    BSON_APPEND_DOCUMENT_BEGIN(&statement, "q", &filter);
    mongo_append_as_read(&filter, "_id", doc, "_id");
    if (mongo_field(doc, name, &it) && BSON_ITER_HOLDS_ARRAY(&it)) {
        BSON_APPEND_DOCUMENT_BEGIN(&filter, name, &child);
        mongo_append_int(&child, "$size", (int64_t)entries);
        bson_append_document_end(&filter, &child);
    }
    bson_append_document_end(&statement, &filter);
    BSON_APPEND_INT32(&statement, "limit", 1);
    bson_append_document_end(&deletes, &statement);
    bson_append_array_end(&command, &deletes);
    enum err e = mongo_write_all(m, &command, m->fixed.light, &done);
    bson_destroy(&command);
    if (!e)
        *ret_removed = done.matched > 0;
    return e;
}

/* One pass over the oldest documents: moves their entries to `all`, up to the first document that
 * changed meanwhile. `*ret_seen`: there were documents. */
static enum err take_once(struct mongo *m, struct text job_id, const char *name, bool peek,
                          json_t *all, bool *ret_seen)
{
    bson_t filter = BSON_INITIALIZER, reply, doc;
    bson_iter_t batch;
    struct mongo_query q = {.collection = name,
                            .filter = &filter,
                            .sort = m->fixed.by_output,
                            .hint = m->fixed.by_output,
                            .limit = 1000};

    mongo_append_text(&filter, "job_id", job_id);
    enum err e = mongo_find(m, &q, &reply, &batch);
    bson_destroy(&filter);
    if (e)
        return e;
    bool removed = true;
    *ret_seen = false;
    while (!e && removed && mongo_next(&batch, &doc)) {
        json_t *entries = entries_of(&doc, name);
        *ret_seen = true;
        if (!peek)
            e = remove_read(m, name, &doc, json_array_size(entries), &removed);
        if (!e && removed)
            json_array_extend(all, entries);
        json_decref(entries);
    }
    bson_destroy(&reply);
    return e;
}

enum err mongo_output_take(struct store *s, struct text job_id, enum output_type type, bool peek,
                           json_t **ret)
{
    json_t *all = json_array();
    bool seen = true;
    enum err e = ERR_OK;

    for (int i = 0; !e && seen && json_array_size(all) == 0 && i < TAKE_TRIES; i++)
        e = take_once(mongo_of(s), job_id, names[type], peek, all, &seen);
    if (json_array_size(all)) {
        if (e)
            log_warn("the output of job %.*s was read in part; the rest comes with the next read",
                     (int)job_id.len, job_id.s);
        *ret = all;
        return ERR_OK;
    }
    json_decref(all);
    return e ? e : ERR_NOT_FOUND;
}
