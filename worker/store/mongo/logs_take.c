/* Logs for readers of live output: each fragment is taken once. */
#include "worker/store/mongo/logs.h"

#include "worker/store/mongo/bsonjson.h"

#include <string.h>

#define TAKE_TRIES 8
#define TAKE_MAX   1000 /* fragments in one go */

/* What one try found and wants. */
struct taking {
    bson_t ids; /* array */
    bson_oid_t token;
    size_t n;
    size_t size; /* bytes with line ends */
};

/* Appends the texts of a reply's first n documents; `of` not NULL: only those whose _id it holds.
 */
static void append_texts(const bson_t *reply, size_t n, const bson_t *of, json_t *entries)
{
    bson_iter_t at, batch, id, it;
    struct log_piece piece;
    bson_t doc;

    if (!mongo_field(reply, "cursor.firstBatch", &at) || !bson_iter_recurse(&at, &batch))
        return;
    for (size_t i = 0; i < n && mongo_next(&batch, &doc); i++) {
        bool wanted = of == NULL;
        if (of && bson_iter_init_find(&id, &doc, "_id") && bson_iter_init(&it, of))
            while (!wanted && bson_iter_next(&it))
                wanted = bson_oid_equal(bson_iter_oid(&it), bson_iter_oid(&id));
        if (wanted && logs_piece(&doc, &piece))
            json_array_append_new(entries, json_stringn(piece.text.s, piece.text.len));
    }
}

/* Marks what was found as taken. *ret_n: how many were still there to be taken. */
static enum err mark(struct mongo *m, const struct taking *t, int64_t *ret_n)
{
    bson_t filter = BSON_INITIALIZER, child, command = BSON_INITIALIZER, updates, statement;
    bson_t *update = BCON_NEW("$set", "{", "reader", BCON_OID(&t->token), "}", "$unset", "{",
                              "unread", BCON_BOOL(true), "}");
    struct mongo_changed done;

    BSON_APPEND_DOCUMENT_BEGIN(&filter, "_id", &child);
    BSON_APPEND_ARRAY(&child, "$in", &t->ids);
    bson_append_document_end(&filter, &child);
    BSON_APPEND_BOOL(&filter, "unread", true);
    BSON_APPEND_UTF8(&command, "update", LOGS);
    BSON_APPEND_ARRAY_BEGIN(&command, "updates", &updates);
    BSON_APPEND_DOCUMENT_BEGIN(&updates, "0", &statement);
    BSON_APPEND_DOCUMENT(&statement, "q", &filter);
    BSON_APPEND_DOCUMENT(&statement, "u", update);
    BSON_APPEND_BOOL(&statement, "multi", true);
    BSON_APPEND_DOCUMENT(&statement, "hint", m->fixed.by_id);
    bson_append_document_end(&updates, &statement);
    bson_append_array_end(&command, &updates);
    /* should the server die now, text may come twice, which is better than never */
    enum err e = mongo_write_all(m, &command, m->fixed.light, &done);
    bson_destroy(&command);
    bson_destroy(&filter);
    bson_destroy(update);
    if (!e)
        *ret_n = done.modified;
    return e;
}

/* Another reader took some of them: appends those that are ours. */
static enum err append_ours(struct mongo *m, const struct taking *t, const bson_t *found,
                            json_t *entries)
{
    bson_t filter = BSON_INITIALIZER, child, reply, doc, ours = BSON_INITIALIZER;
    bson_t *projection = BCON_NEW("_id", BCON_BOOL(true));
    struct mongo_query q = {.collection = LOGS,
                            .filter = &filter,
                            .projection = projection,
                            .hint = m->fixed.by_id,
                            .limit = TAKE_MAX};
    bson_iter_t batch, id;

    BSON_APPEND_DOCUMENT_BEGIN(&filter, "_id", &child);
    BSON_APPEND_ARRAY(&child, "$in", &t->ids);
    bson_append_document_end(&filter, &child);
    BSON_APPEND_OID(&filter, "reader", &t->token);
    enum err e = mongo_find(m, &q, &reply, &batch);
    bson_destroy(&filter);
    bson_destroy(projection);
    if (!e) {
        while (mongo_next(&batch, &doc))
            if (bson_iter_init_find(&id, &doc, "_id"))
                bson_append_iter(&ours, "", 0, &id);
        append_texts(found, t->n, &ours, entries);
        bson_destroy(&reply);
    }
    bson_destroy(&ours);
    return e;
}

/* Collects the first documents that fit. */
static void choose(bson_iter_t *batch, size_t max, struct taking *t)
{
    struct log_piece piece;
    char key[MONGO_INDEX_SIZE];
    bson_iter_t id;
    bson_t doc;

    bson_oid_init(&t->token, NULL);
    for (; mongo_next(batch, &doc); t->n++) {
        t->size += logs_piece(&doc, &piece) ? piece.text.len + 1 : 0;
        if (t->size > max)
            return;
        if (bson_iter_init_find(&id, &doc, "_id"))
            bson_append_iter(&t->ids, mongo_index(t->n, key), -1, &id);
    }
}

/* *ret_seen: there was something that fits. */
static enum err take_once(struct mongo *m, const bson_t *filter, size_t max, bool peek,
                          json_t *entries, bool *ret_seen)
{
    bson_t *sort = BCON_NEW("fragment_number", BCON_INT32(1)), reply;
    struct mongo_query q = {.collection = LOGS,
                            .filter = filter,
                            .sort = sort,
                            .hint = m->fixed.unread,
                            .limit = TAKE_MAX};
    struct taking t = {.n = 0};
    bson_iter_t batch;
    int64_t marked = 0;
    enum err e = mongo_find(m, &q, &reply, &batch);

    bson_destroy(sort);
    if (e)
        return e;
    bson_init(&t.ids);
    choose(&batch, max, &t);
    *ret_seen = t.n > 0;
    if (t.n && !peek)
        e = mark(m, &t, &marked);
    if (!e && (peek || (size_t)marked == t.n))
        append_texts(&reply, t.n, NULL, entries);
    else if (!e && marked)
        e = append_ours(m, &t, &reply, entries);
    bson_destroy(&t.ids);
    bson_destroy(&reply);
    return e;
}

enum err mongo_logs_take(struct store *s, struct text job_id, enum output_type type, size_t max,
                         bool peek, json_t *entries)
{
    bson_t filter = BSON_INITIALIZER;
    size_t before = json_array_size(entries);
    bool seen = true;
    enum err e = ERR_OK;

    mongo_append_text(&filter, "job_id", job_id);
    BSON_APPEND_UTF8(&filter, "log_type", log_type_names[type]);
    BSON_APPEND_BOOL(&filter, "unread", true);
    for (int i = 0; !e && seen && json_array_size(entries) == before && i < TAKE_TRIES; i++)
        e = take_once(mongo_of(s), &filter, max, peek, entries, &seen);
    bson_destroy(&filter);
    if (e)
        return e;
    return json_array_size(entries) > before ? ERR_OK : ERR_NOT_FOUND;
}
