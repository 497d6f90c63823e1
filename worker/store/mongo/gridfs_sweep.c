/* Removes the chunks of replaced files and of abandoned uploads. Marks a note as dead before it
 * removes anything, so that an upload which resumes too late fails. */
#include "worker/store/mongo/gridfs.h"

#define STEP 256 /* chunks removed by one command, at most */

/* Marks the note as the sweep's. ERR_NOT_FOUND: its time was put off meanwhile. */
static enum err mark(struct mongo *m, const bson_t *note, int64_t now_ms)
{
    return db_set(m, DROPS,
                  doc_of("_id: ?, due_at: {$lte: ?}", v_field(note, "_id"), v_date(now_ms)),
                  doc_of("$set: {dead: true}"));
}

static bool same_id(const bson_t *a, const bson_t *b)
{
    bson_t *x = doc_of("_id: ?", v_field(a, "_id")), *y = doc_of("_id: ?", v_field(b, "_id"));
    bool same = bson_equal(x, y);

    bson_destroy(x);
    bson_destroy(y);
    return same;
}

/* Whether this file is the newest of its name. */
static enum err is_newest(struct mongo *m, const bson_t *file, bool *ret)
{
    struct text name = doc_text(file, "filename");
    struct db_found newest;

    *ret = false;
    if (!name.s)
        return ERR_OK;
    enum err e = gridfs_newest(m, name, &newest);
    if (e)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    *ret = same_id(file, &newest.doc);
    db_end(&newest);
    return ERR_OK;
}

/* Whether the note is of a file that stays: its commit did not come to its end. Any other is taken
 * out of sight. */
static enum err look(struct mongo *m, const bson_t *note, bool *ret_keep)
{
    struct db_found f;
    enum err e = db_get(m, FILES, doc_of("_id: ?", v_field(note, "_id")), NULL, &f);

    *ret_keep = false;
    if (e)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    e = is_newest(m, &f.doc, ret_keep);
    db_end(&f);
    return e || *ret_keep ? e
                          : db_delete(m, FILES, doc_of("_id: ?", v_field(note, "_id")), true, NULL);
}

/* Removes the first chunks of a file, *ret of them, at most `limit`. */
static enum err remove_chunks(struct mongo *m, const bson_t *note, int64_t limit, int64_t *ret)
{
    struct db_query q = {.collection = CHUNKS,
                         .filter = doc_of("files_id: ?", v_field(note, "_id")),
                         .fields = "n: true, _id: false",
                         .sort = "n: 1",
                         .limit = (int)limit};
    int64_t last = 0;
    struct db_found f;
    enum err e = db_find(m, &q, &f);

    for (*ret = 0; !e && db_next(&f); ++*ret)
        last = doc_int(&f.doc, "n", 0);
    db_end(&f);
    if (e || !*ret)
        return e;
    return db_delete(m, CHUNKS,
                     doc_of("files_id: ?, n: {$lte: ?}", v_field(note, "_id"), v_int(last)), true,
                     NULL);
}

/* Takes care of one note that is due, as far as the limit allows. */
static enum err sweep_note(struct mongo *m, const bson_t *note, struct file_sweep *sweep)
{
    bool keep = false;
    int64_t removed = 1;
    enum err e = mark(m, note, sweep->now_ms);

    if (!e)
        e = look(m, note, &keep);
    while (!e && !keep && removed && sweep->removed < sweep->chunks_max) {
        int64_t left = sweep->chunks_max - sweep->removed;
        e = remove_chunks(m, note, left < STEP ? left : STEP, &removed);
        sweep->removed += e ? 0 : removed;
    }
    if (!e && (keep || !removed))
        e = db_delete(m, DROPS, doc_of("_id: ?", v_field(note, "_id")), true, NULL);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err mongo_files_sweep(struct store *s, struct file_sweep *sweep)
{
    struct mongo *m = mongo_of(s);
    enum err e = ERR_OK;

    sweep->removed = 0;
    while (!e && sweep->removed < sweep->chunks_max) {
        struct db_found f;
        e = db_get(m, DROPS, doc_of("due_at: {$lte: ?}", v_date(sweep->now_ms)), NULL, &f);
        if (!e)
            e = sweep_note(m, &f.doc, sweep);
        db_end(&f);
    }
    sweep->more = !e;
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}
