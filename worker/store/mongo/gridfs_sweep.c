/* The sweep of files that gave way and of uploads that were given up. A note of either is marked
 * before anything is removed: an upload that comes to life too late then finds it so. */
#include "worker/store/mongo/gridfs.h"

#define STEP 256 /* chunks removed by one command, at most */

/* Marks the note as the sweep's. ERR_NOT_FOUND: its time was put off meanwhile. */
static enum err mark(struct mongo *m, const bson_t *note, int64_t now_ms)
{
    bson_t filter = BSON_INITIALIZER, update = BSON_INITIALIZER, child;
    struct mongo_change change = {.filter = &filter, .update = &update};
    struct mongo_changed done = {0};

    mongo_append_as_read(&filter, "_id", note, "_id");
    BSON_APPEND_DOCUMENT_BEGIN(&filter, "due_at", &child);
    BSON_APPEND_DATE_TIME(&child, "$lte", now_ms);
    bson_append_document_end(&filter, &child);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &child);
    BSON_APPEND_BOOL(&child, "dead", true);
    bson_append_document_end(&update, &child);
    enum err e = mongo_update(m, DROPS, &change, &done);
    bson_destroy(&filter);
    bson_destroy(&update);
    return !e && !done.matched ? ERR_NOT_FOUND : e;
}

static bool same_id(const bson_t *a, const bson_t *b)
{
    bson_t x = BSON_INITIALIZER, y = BSON_INITIALIZER;

    mongo_append_as_read(&x, "_id", a, "_id");
    mongo_append_as_read(&y, "_id", b, "_id");
    bool same = bson_equal(&x, &y);
    bson_destroy(&x);
    bson_destroy(&y);
    return same;
}

/* Whether this file is the newest of its name. */
static enum err is_newest(struct mongo *m, const bson_t *file, bool *ret)
{
    bson_t reply, newest;
    bson_iter_t name;
    uint32_t len;

    *ret = false;
    if (!mongo_field(file, "filename", &name) || !BSON_ITER_HOLDS_UTF8(&name))
        return ERR_OK;
    const char *s = bson_iter_utf8(&name, &len);
    enum err e = gridfs_newest(m, (struct text){s, len}, &reply, &newest);
    if (e)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    *ret = same_id(file, &newest);
    bson_destroy(&reply);
    return ERR_OK;
}

/* Whether the note is of a file that stays: its commit did not come to its end. Any other is taken
 * out of sight. */
static enum err look(struct mongo *m, const bson_t *by_id, bool *ret_keep)
{
    bson_t reply, doc;
    enum err e = gridfs_first(m, FILES, by_id, NULL, &reply, &doc);

    *ret_keep = false;
    if (e)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    e = is_newest(m, &doc, ret_keep);
    bson_destroy(&reply);
    return !e && !*ret_keep ? gridfs_delete(m, FILES, by_id) : e;
}

/* Removes the first chunks of a file, *ret of them, at most `limit`. */
static enum err remove_chunks(struct mongo *m, const bson_t *by_id, int64_t limit, int64_t *ret)
{
    bson_t filter = BSON_INITIALIZER, projection = BSON_INITIALIZER, sort = BSON_INITIALIZER;
    bson_t reply, doc, range;
    bson_iter_t batch, it;
    struct mongo_query q = {.collection = CHUNKS,
                            .filter = &filter,
                            .projection = &projection,
                            .sort = &sort,
                            .limit = (int)limit};
    int64_t last = 0;

    *ret = 0;
    mongo_append_as_read(&filter, "files_id", by_id, "_id");
    BSON_APPEND_BOOL(&projection, "n", true);
    BSON_APPEND_BOOL(&projection, "_id", false);
    BSON_APPEND_INT32(&sort, "n", 1);
    enum err e = mongo_find(m, &q, &reply, &batch);
    while (!e && mongo_next(&batch, &doc)) {
        last = mongo_field(&doc, "n", &it) ? bson_iter_as_int64(&it) : 0;
        ++*ret;
    }
    if (!e)
        bson_destroy(&reply);
    if (!e && *ret) {
        BSON_APPEND_DOCUMENT_BEGIN(&filter, "n", &range);
        mongo_append_int(&range, "$lte", last);
        bson_append_document_end(&filter, &range);
        e = gridfs_delete(m, CHUNKS, &filter);
    }
    bson_destroy(&filter);
    bson_destroy(&projection);
    bson_destroy(&sort);
    return e;
}

/* Takes care of one note that is due, as far as the limit allows. */
static enum err sweep_note(struct mongo *m, const bson_t *note, struct file_sweep *sweep)
{
    bson_t by_id = BSON_INITIALIZER;
    bool keep = false;
    int64_t removed = 1;
    enum err e = mark(m, note, sweep->now_ms);

    mongo_append_as_read(&by_id, "_id", note, "_id");
    if (!e)
        e = look(m, &by_id, &keep);
    while (!e && !keep && removed && sweep->removed < sweep->chunks_max) {
        int64_t left = sweep->chunks_max - sweep->removed;
        e = remove_chunks(m, &by_id, left < STEP ? left : STEP, &removed);
        sweep->removed += e ? 0 : removed;
    }
    if (!e && (keep || !removed))
        e = gridfs_delete(m, DROPS, &by_id);
    bson_destroy(&by_id);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err mongo_files_sweep(struct store *s, struct file_sweep *sweep)
{
    struct mongo *m = mongo_of(s);
    bson_t filter = BSON_INITIALIZER, child, reply, note;
    enum err e = ERR_OK;

    sweep->removed = 0;
    BSON_APPEND_DOCUMENT_BEGIN(&filter, "due_at", &child);
    BSON_APPEND_DATE_TIME(&child, "$lte", sweep->now_ms);
    bson_append_document_end(&filter, &child);
    while (!e && sweep->removed < sweep->chunks_max) {
        e = gridfs_first(m, DROPS, &filter, NULL, &reply, &note);
        if (!e) {
            e = sweep_note(m, &note, sweep);
            bson_destroy(&reply);
        }
    }
    bson_destroy(&filter);
    sweep->more = !e;
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}
