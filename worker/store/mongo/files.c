/* Attachments and artifacts in GridFS. */
#include "worker/store/mongo/files.h"

#include "common/log.h"
#include "worker/store/mongo/job.h"

#include <string.h>

#define STATUS_PATH "job_data.attachments_status"

/* Limit of chunks in one query: chunks of other servers may be small. */
#define CHUNKS_READ_MAX 64

#define SWEEP_STEP 256 /* chunks removed by one command, at most */

/* ---- what jobs expect ---- */

enum err mongo_attachments_look(struct store *s, struct text job_id, enum attachments *ret)
{
    struct db_found f;
    bson_iter_t it;
    enum err e = job_find(mongo_of(s), job_id, STATE_PATH ": true, " STATUS_PATH ": true", &f);

    if (e)
        return e;
    if (!doc_text_is(&f.doc, STATE_PATH, "waiting"))
        e = ERR_NOT_FOUND;
    else if (!doc_at(&f.doc, STATUS_PATH, &it) || BSON_ITER_HOLDS_NULL(&it))
        *ret = ATTACHMENTS_NONE;
    else
        *ret = doc_text_is(&f.doc, STATUS_PATH, "complete") ? ATTACHMENTS_COMPLETE
                                                            : ATTACHMENTS_AWAITED;
    db_end(&f);
    return e;
}

static enum err attachments_came(struct mongo *m, struct text job_id)
{
    struct db_found f;
    enum err e = job_find(m, job_id, "_id: true", &f);

    if (e)
        return e == ERR_NOT_FOUND ? ERR_OK : e; /* the job is gone: the file expires */
    e = db_set(m, JOBS, doc_of("_id: ?, " STATUS_PATH ": 'waiting'", v_field(&f.doc, "_id")),
               doc_of("$set: {" STATUS_PATH ": 'complete'}"));
    db_end(&f);
    return e == ERR_NOT_FOUND ? ERR_OK : e; /* another commit was first */
}

/* ---- documents ---- */

static bson_oid_t oid_of(const struct file_info *f)
{
    bson_oid_t oid;

    bson_oid_init_from_string(&oid, f->id);
    return oid;
}

static enum err newest_of(struct mongo *m, struct text name, struct db_found *ret)
{
    return DB_FIRST(m, ret, .collection = FILES, .filter = doc_of("filename: ?", v_text(name)),
                    .sort = "uploadDate: -1");
}

/* Inserts one document; ignores that it exists already. */
static enum err insert(struct mongo *m, const char *collection, bson_t *doc)
{
    enum err e = db_insert(m, collection, doc);

    return e == ERR_CONFLICT ? ERR_OK : e;
}

/* ---- uploads ---- */

enum err mongo_file_begin(struct store *s, const struct file_info *f)
{
    bson_oid_t id = oid_of(f);

    return insert(mongo_of(s), DROPS,
                  doc_of("_id: ?, due_at: ?", v_oid(&id),
                         v_date(mongo_now_ms(mongo_of(s)) + FILE_ABANDONED_MS)));
}

/* A sign of life of an upload. *ret_done: it was committed, so that nothing is left to do.
 * ERR_NOT_FOUND: it was given up, or committed long ago. */
static enum err delay(struct mongo *m, const struct file_info *f, bool *ret_done)
{
    bson_oid_t id = oid_of(f);
    struct db_found note;
    enum err e = db_set(m, DROPS, doc_of("_id: ?, dead: null, done: null", v_oid(&id)),
                        doc_of("$set: {due_at: ?}", v_date(mongo_now_ms(m) + FILE_ABANDONED_MS)));

    *ret_done = false;
    if (e != ERR_NOT_FOUND)
        return e;
    e = db_get(m, DROPS, doc_of("_id: ?, done: true", v_oid(&id)), NULL, &note);
    *ret_done = !e;
    db_end(&note);
    return e;
}

/* Inserts the chunks, or upserts them, which keeps existing ones. */
static enum err put_chunks(struct mongo *m, const struct file_info *f, int64_t at, struct text data,
                           bool upsert)
{
    struct db_batch b = DB_BATCH(CHUNKS);
    int64_t n = at / FILE_CHUNK;
    bson_oid_t id = oid_of(f);

    for (size_t done = 0; done < data.len; n++, done += (size_t)FILE_CHUNK) {
        size_t left = data.len - done;
        struct text chunk = {data.s + done, left < FILE_CHUNK ? left : (size_t)FILE_CHUNK};
        bson_t *key = doc_of("files_id: ?, n: ?", v_oid(&id), v_int(n));
        bson_t *rest = doc_of("data: ?, uploadDate: ?", v_bytes(chunk), v_date(f->date_ms));
        if (upsert)
            DB_ADD_UPDATE(&b, .filter = key, .update = doc_of("$setOnInsert: ?", v_own(rest)),
                          .upsert = true);
        else
            db_add_insert(&b, doc_of("?, ?", v_own(key), v_own(rest)));
    }
    return db_run(m, &b, NULL);
}

/* An insert fails if an earlier try of this piece has stored chunks: upsert then. */
enum err mongo_file_put(struct store *s, const struct file_info *f, int64_t at, struct text data)
{
    struct mongo *m = mongo_of(s);
    bool done;
    enum err e = delay(m, f, &done);

    if (!e && !done)
        e = put_chunks(m, f, at, data, false);
    if (e == ERR_CONFLICT)
        e = put_chunks(m, f, at, data, true);
    return e == ERR_CONFLICT ? ERR_UNAVAILABLE : e; /* its repeat is under way at the same time */
}

/* Sets the date of the file, newer than any other of its name. *ret_there: it is committed. */
static enum err choose_date(struct mongo *m, struct file_info *f, bool *ret_there)
{
    bson_oid_t id = oid_of(f);
    struct db_found found;
    enum err e = newest_of(m, (struct text){f->name, strlen(f->name)}, &found);

    *ret_there = false;
    if (e)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    const bson_oid_t *other = doc_oid(&found.doc, "_id");
    int64_t newest = doc_date(&found.doc, "uploadDate");
    *ret_there = other && bson_oid_equal(other, &id);
    if (*ret_there)
        f->date_ms = newest;
    else if (newest >= f->date_ms)
        f->date_ms = newest + 1;
    db_end(&found);
    return ERR_OK;
}

enum err files_give_way(struct mongo *m, const bson_t *file)
{
    enum err e = db_upsert(m, DROPS, doc_of("_id: ?", v_field(file, "_id")),
                           doc_of("$set: {due_at: ?, done: true}, $unset: {swept: true}",
                                  v_date(mongo_now_ms(m) + FILE_REPLACED_MS)));

    return e ? e : db_delete(m, FILES, doc_of("_id: ?", v_field(file, "_id")), true, NULL);
}

/* Removes older files of the name, never a newer one that comes at the same time. */
static enum err replace(struct mongo *m, const struct file_info *f)
{
    struct db_query q = {
        .collection = FILES,
        .filter = doc_of("filename: ?, uploadDate: {$lt: ?}", v_str(f->name), v_date(f->date_ms)),
        .limit = 100};
    struct db_found found;
    enum err e = db_find(m, &q, &found);

    while (!e && db_next(&found))
        e = files_give_way(m, &found.doc);
    db_end(&found);
    return e;
}

/* The note is marked last: a repeat of the commit goes on until then. It stays for a while, so that
 * what comes late does not begin the upload again. */
enum err mongo_file_commit(struct store *s, const struct file_info *file,
                           const struct text *attached_to)
{
    struct mongo *m = mongo_of(s);
    struct file_info f = *file;
    bool there, done;
    enum err alive = delay(m, &f, &done);

    if (done || (alive && alive != ERR_NOT_FOUND))
        return alive;
    enum err e = choose_date(m, &f, &there);
    if (!e && alive && !there)
        return ERR_NOT_FOUND;
    bson_oid_t id = oid_of(&f);
    if (!e && !there)
        e = insert(m, FILES,
                   doc_of("_id: ?, filename: ?, chunkSize: ?, length: ?, uploadDate: ?", v_oid(&id),
                          v_str(f.name), v_int(f.chunk), v_int64(f.length), v_date(f.date_ms)));
    if (!e && attached_to)
        e = attachments_came(m, *attached_to);
    if (!e)
        e = replace(m, &f);
    return e ? e
             : DB_UPDATE(m, DROPS, NULL, .filter = doc_of("_id: ?", v_oid(&id)),
                         .update = doc_of("$set: {done: true, due_at: ?}",
                                          v_date(mongo_now_ms(m) + FILE_ABANDONED_MS)));
}

/* ---- downloads ---- */

/* Counts by the index alone. ERR_CONFLICT: chunks are missing. */
static enum err check_chunks(struct mongo *m, const struct file_info *f)
{
    bson_oid_t id = oid_of(f);
    int64_t n = file_chunks(f);
    bson_t reply;
    enum err e =
        db_read(m,
                doc_of("count: ?, query: {files_id: ?, n: {$gte: 0, $lt: ?}}, hint: ?",
                       v_str(CHUNKS), v_oid(&id), v_int(n), v_own(doc_of(index_keys(IX_CHUNK)))),
                &reply);

    if (e)
        return e;
    if (doc_int(&reply, "n", 0) != n)
        e = ERR_CONFLICT;
    bson_destroy(&reply);
    return e;
}

enum err mongo_file_open(struct store *s, struct text name, struct file_info *ret)
{
    struct db_found found;
    enum err e = newest_of(mongo_of(s), name, &found);

    if (e)
        return e;
    struct file_info f = {.length = doc_int(&found.doc, "length", -1),
                          .chunk = doc_int(&found.doc, "chunkSize", -1),
                          .date_ms = doc_date(&found.doc, "uploadDate")};
    const bson_oid_t *id = doc_oid(&found.doc, "_id");
    if (id && f.length >= 0 && f.chunk > 0) {
        bson_oid_to_string(id, f.id);
        memcpy(f.name, name.s, name.len < FILE_NAME_SIZE ? name.len : FILE_NAME_SIZE - 1);
        e = check_chunks(mongo_of(s), &f);
    } else {
        log_warn("the document of file %.*s in " FILES " is none of GridFS; remove it",
                 (int)name.len, name.s);
        e = ERR_NOT_FOUND;
    }
    db_end(&found);
    if (!e)
        *ret = f;
    return e;
}

/* Appends the requested part of a chunk; false: there is none. */
static bool chunk_take(const bson_t *doc, const struct file_info *f, int64_t at, int64_t end,
                       struct buf *out)
{
    int64_t first = doc_int(doc, "n", -1) * f->chunk;
    struct text data = doc_bytes(doc, "data");

    if (first < 0)
        return false;
    int64_t len = (int64_t)data.len;
    int64_t from = at > first ? at - first : 0, to = end - first < len ? end - first : len;
    return from < to && buf_add(out, data.s + from, (size_t)(to - from)) == ERR_OK;
}

/* Reads chunks from *n on, as many as one answer holds, and moves *n behind them. */
static enum err read_some(struct mongo *m, const struct file_info *f, int64_t at, int64_t end,
                          int64_t *n, struct buf *out)
{
    int64_t first = *n;
    bson_oid_t id = oid_of(f);
    struct db_found found;
    enum err e = DB_FIND(m, &found, .collection = CHUNKS,
                         .filter = doc_of("files_id: ?, n: {$gte: ?, $lte: ?}", v_oid(&id),
                                          v_int(first), v_int((end - 1) / f->chunk)),
                         .sort = "n: 1", .limit = CHUNKS_READ_MAX);

    if (e)
        return e;
    while (db_next(&found) && doc_int(&found.doc, "n", -1) == *n &&
           chunk_take(&found.doc, f, at, end, out))
        ++*n;
    db_end(&found);
    return *n > first ? ERR_OK : ERR_NOT_FOUND;
}

enum err mongo_file_read(struct store *s, const struct file_info *f, int64_t at, int64_t size,
                         struct buf *out)
{
    int64_t n = at / f->chunk, end = at + size;
    enum err e = ERR_OK;

    while (!e && n <= (end - 1) / f->chunk)
        e = read_some(mongo_of(s), f, at, end, &n, out);
    return e;
}

/* ---- the sweep ---- */

/* Marks the note as dead before anything is removed, so that an upload that resumes too late fails.
 * ERR_NOT_FOUND: it was postponed meanwhile. */
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

/* Whether this is the newest file of its name. */
static enum err is_newest(struct mongo *m, const bson_t *file, bool *ret)
{
    struct text name = doc_text(file, "filename");
    struct db_found newest;

    *ret = false;
    if (!name.s)
        return ERR_OK;
    enum err e = newest_of(m, name, &newest);
    if (e)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    *ret = same_id(file, &newest.doc);
    db_end(&newest);
    return ERR_OK;
}

/* Whether the note is of a committed file whose commit did not finish: it stays. Hides any
 * other. */
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

/* Removes the first chunks of a file, at most `limit`; *ret: their number. */
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

/* That of a file whose chunks are gone stays for a while: see mongo_file_commit(). */
static enum err note_end(struct mongo *m, const bson_t *note, bool keep)
{
    bson_t *filter = doc_of("_id: ?", v_field(note, "_id"));

    if (keep || !doc_bool(note, "done") || doc_bool(note, "swept"))
        return db_delete(m, DROPS, filter, true, NULL);
    return DB_UPDATE(m, DROPS, NULL, .filter = filter,
                     .update = doc_of("$set: {swept: true, due_at: ?}",
                                      v_date(mongo_now_ms(m) + FILE_ABANDONED_MS)));
}

/* Handles one due note, within the limit. */
static enum err sweep_note(struct mongo *m, const bson_t *note, struct file_sweep *sweep)
{
    bool keep = false;
    int64_t removed = 1;
    enum err e = mark(m, note, sweep->now_ms);

    if (!e)
        e = look(m, note, &keep);
    while (!e && !keep && removed && sweep->removed < sweep->chunks_max) {
        int64_t left = sweep->chunks_max - sweep->removed;
        e = remove_chunks(m, note, left < SWEEP_STEP ? left : SWEEP_STEP, &removed);
        sweep->removed += e ? 0 : removed;
    }
    if (!e && (keep || !removed))
        e = note_end(m, note, keep);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err mongo_files_sweep(struct store *s, struct file_sweep *sweep)
{
    struct mongo *m = mongo_of(s);
    enum err e = ERR_OK;

    sweep->removed = 0;
    for (int64_t notes = 0; !e && notes < sweep->chunks_max && sweep->removed < sweep->chunks_max;
         notes++) {
        struct db_found f;
        e = db_get(m, DROPS, doc_of("due_at: {$lte: ?}", v_date(sweep->now_ms)), NULL, &f);
        if (!e)
            e = sweep_note(m, &f.doc, sweep);
        db_end(&f);
    }
    sweep->more = !e;
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}
