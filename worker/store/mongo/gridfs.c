/* Attachments and artifacts in GridFS. */
#include "worker/store/mongo/gridfs.h"

#include "common/clock.h"
#include "common/log.h"
#include "worker/store/mongo/job.h"

#include <string.h>

#define STATUS_PATH "job_data.attachments_status"

/* Chunks that one query reads: those of others may be small. */
#define CHUNKS_READ_MAX 64

static int64_t now_ms(void)
{
    return clock_wall_us() / 1000;
}

/* ---- what jobs expect ---- */

static bool field_is(const bson_t *doc, const char *path, const char *text)
{
    bson_iter_t it;

    return mongo_field(doc, path, &it) && BSON_ITER_HOLDS_UTF8(&it) &&
           strcmp(bson_iter_utf8(&it, NULL), text) == 0;
}

enum err mongo_attachments_look(struct store *s, struct text job_id, enum attachments *ret)
{
    bson_t projection = BSON_INITIALIZER, reply, doc;
    bson_iter_t it;

    BSON_APPEND_BOOL(&projection, STATE_PATH, true);
    BSON_APPEND_BOOL(&projection, STATUS_PATH, true);
    enum err e = job_find(mongo_of(s), job_id, &projection, &reply, &doc);
    bson_destroy(&projection);
    if (e)
        return e;
    if (!field_is(&doc, STATE_PATH, "waiting"))
        e = ERR_NOT_FOUND;
    else if (!mongo_field(&doc, STATUS_PATH, &it) || BSON_ITER_HOLDS_NULL(&it))
        *ret = ATTACHMENTS_NONE;
    else
        *ret = field_is(&doc, STATUS_PATH, "complete") ? ATTACHMENTS_COMPLETE : ATTACHMENTS_AWAITED;
    bson_destroy(&reply);
    return e;
}

static enum err attachments_came(struct mongo *m, struct text job_id)
{
    bson_t projection = BSON_INITIALIZER, filter = BSON_INITIALIZER, update = BSON_INITIALIZER, set;
    bson_t reply, doc;
    struct mongo_change change = {.filter = &filter, .update = &update};

    BSON_APPEND_BOOL(&projection, "_id", true);
    enum err e = job_find(m, job_id, &projection, &reply, &doc);
    bson_destroy(&projection);
    if (!e) {
        mongo_append_as_read(&filter, "_id", &doc, "_id");
        BSON_APPEND_UTF8(&filter, STATUS_PATH, "waiting");
        BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set);
        BSON_APPEND_UTF8(&set, STATUS_PATH, "complete");
        bson_append_document_end(&update, &set);
        e = mongo_update(m, JOBS, &change, NULL);
        bson_destroy(&reply);
    }
    bson_destroy(&filter);
    bson_destroy(&update);
    return e == ERR_NOT_FOUND ? ERR_OK : e; /* the job is gone: the file expires */
}

/* ---- documents ---- */

bson_t *gridfs_by_id(const char *id)
{
    bson_t *filter = bson_new();
    bson_oid_t oid;

    bson_oid_init_from_string(&oid, id);
    BSON_APPEND_OID(filter, "_id", &oid);
    return filter;
}

enum err gridfs_first(struct mongo *m, const char *collection, const bson_t *filter,
                      const bson_t *sort, bson_t *ret_reply, bson_t *ret_doc)
{
    struct mongo_query q = {.collection = collection, .filter = filter, .sort = sort, .limit = 1};
    bson_iter_t batch;
    enum err e = mongo_find(m, &q, ret_reply, &batch);

    if (e)
        return e;
    if (mongo_next(&batch, ret_doc))
        return ERR_OK;
    bson_destroy(ret_reply);
    return ERR_NOT_FOUND;
}

enum err gridfs_newest(struct mongo *m, struct text name, bson_t *ret_reply, bson_t *ret_doc)
{
    bson_t filter = BSON_INITIALIZER, sort = BSON_INITIALIZER;

    mongo_append_text(&filter, "filename", name);
    BSON_APPEND_INT32(&sort, "uploadDate", -1);
    enum err e = gridfs_first(m, FILES, &filter, &sort, ret_reply, ret_doc);
    bson_destroy(&filter);
    bson_destroy(&sort);
    return e;
}

enum err gridfs_delete(struct mongo *m, const char *collection, const bson_t *filter)
{
    bson_t command = BSON_INITIALIZER, deletes, statement;

    BSON_APPEND_UTF8(&command, "delete", collection);
    BSON_APPEND_ARRAY_BEGIN(&command, "deletes", &deletes);
    BSON_APPEND_DOCUMENT_BEGIN(&deletes, "0", &statement);
    BSON_APPEND_DOCUMENT(&statement, "q", filter);
    BSON_APPEND_INT32(&statement, "limit", 0);
    bson_append_document_end(&deletes, &statement);
    bson_append_array_end(&command, &deletes);
    enum err e = mongo_write_all(m, &command, NULL, NULL);
    bson_destroy(&command);
    return e;
}

/* Inserts one document; it being there already is fine. */
static enum err insert(struct mongo *m, const char *collection, const bson_t *doc)
{
    bson_t command = BSON_INITIALIZER, documents;

    BSON_APPEND_UTF8(&command, "insert", collection);
    BSON_APPEND_ARRAY_BEGIN(&command, "documents", &documents);
    BSON_APPEND_DOCUMENT(&documents, "0", doc);
    bson_append_array_end(&command, &documents);
    enum err e = mongo_write_all(m, &command, NULL, NULL);
    bson_destroy(&command);
    return e == ERR_CONFLICT ? ERR_OK : e;
}

/* ---- uploads ---- */

enum err mongo_file_begin(struct store *s, const struct file_info *f)
{
    bson_t *doc = gridfs_by_id(f->id);

    BSON_APPEND_DATE_TIME(doc, "due_at", now_ms() + FILE_ABANDONED_MS);
    enum err e = insert(mongo_of(s), DROPS, doc);
    bson_destroy(doc);
    return e;
}

/* A sign of life of an upload. ERR_NOT_FOUND: it was given up, or committed. */
static enum err delay(struct mongo *m, const struct file_info *f)
{
    bson_t *filter = gridfs_by_id(f->id), update = BSON_INITIALIZER, child;
    struct mongo_change change = {.filter = filter, .update = &update};
    struct mongo_changed done = {0};

    BSON_APPEND_NULL(filter, "dead");
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &child);
    BSON_APPEND_DATE_TIME(&child, "due_at", now_ms() + FILE_ABANDONED_MS);
    bson_append_document_end(&update, &child);
    enum err e = mongo_update(m, DROPS, &change, &done);
    bson_destroy(filter);
    bson_destroy(&update);
    return !e && !done.matched ? ERR_NOT_FOUND : e;
}

/* {files_id, n} of a chunk, and {data, uploadDate}. */
static void append_key(bson_t *to, const struct file_info *f, int64_t n)
{
    bson_oid_t id;

    bson_oid_init_from_string(&id, f->id);
    BSON_APPEND_OID(to, "files_id", &id);
    mongo_append_int(to, "n", n);
}

static void append_data(bson_t *to, const struct file_info *f, struct text data)
{
    bson_append_binary(to, "data", -1, BSON_SUBTYPE_BINARY, (const uint8_t *)data.s,
                       (uint32_t)data.len);
    BSON_APPEND_DATE_TIME(to, "uploadDate", f->date_ms);
}

/* Appends a chunk as a document, or as the statement that makes it unless it is there. */
static void append_chunk(bson_t *list, size_t index, const struct file_info *f, int64_t n,
                         struct text data, bool upsert)
{
    char key[MONGO_INDEX_SIZE];
    bson_t item, child, set;

    BSON_APPEND_DOCUMENT_BEGIN(list, mongo_index(index, key), &item);
    if (upsert) {
        BSON_APPEND_DOCUMENT_BEGIN(&item, "q", &child);
        append_key(&child, f, n);
        bson_append_document_end(&item, &child);
        BSON_APPEND_DOCUMENT_BEGIN(&item, "u", &child);
        BSON_APPEND_DOCUMENT_BEGIN(&child, "$setOnInsert", &set);
        append_data(&set, f, data);
        bson_append_document_end(&child, &set);
        bson_append_document_end(&item, &child);
        BSON_APPEND_BOOL(&item, "upsert", true);
    } else {
        append_key(&item, f, n);
        append_data(&item, f, data);
    }
    bson_append_document_end(list, &item);
}

static enum err put_chunks(struct mongo *m, const struct file_info *f, int64_t at, struct text data,
                           bool upsert)
{
    bson_t command = BSON_INITIALIZER, list;

    BSON_APPEND_UTF8(&command, upsert ? "update" : "insert", CHUNKS);
    BSON_APPEND_ARRAY_BEGIN(&command, upsert ? "updates" : "documents", &list);
    for (size_t i = 0, done = 0; done < data.len; i++, done += (size_t)FILE_CHUNK) {
        size_t left = data.len - done, len = left < FILE_CHUNK ? left : (size_t)FILE_CHUNK;
        append_chunk(&list, i, f, at / FILE_CHUNK + (int64_t)i, (struct text){data.s + done, len},
                     upsert);
    }
    bson_append_array_end(&command, &list);
    enum err e = mongo_write_all(m, &command, NULL, NULL);
    bson_destroy(&command);
    return e;
}

/* Chunks that are there already, of a piece that came before, are found by the upsert only. */
enum err mongo_file_put(struct store *s, const struct file_info *f, int64_t at, struct text data)
{
    struct mongo *m = mongo_of(s);
    enum err e = delay(m, f);

    if (!e)
        e = put_chunks(m, f, at, data, false);
    if (e == ERR_CONFLICT)
        e = put_chunks(m, f, at, data, true);
    return e == ERR_CONFLICT ? ERR_UNAVAILABLE : e; /* its repeat is under way at the same time */
}

/* Sets the date of the file: newer than any other of its name. *ret_there: it is committed. */
static enum err choose_date(struct mongo *m, struct file_info *f, bool *ret_there)
{
    bson_t reply, doc;
    bson_iter_t it;
    char id[FILE_ID_SIZE] = {0};
    enum err e = gridfs_newest(m, (struct text){f->name, strlen(f->name)}, &reply, &doc);

    *ret_there = false;
    if (e)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    if (mongo_field(&doc, "_id", &it) && BSON_ITER_HOLDS_OID(&it))
        bson_oid_to_string(bson_iter_oid(&it), id);
    *ret_there = strcmp(id, f->id) == 0;
    int64_t newest = mongo_date(&doc, "uploadDate");
    if (*ret_there)
        f->date_ms = newest;
    else if (newest >= f->date_ms)
        f->date_ms = newest + 1;
    bson_destroy(&reply);
    return ERR_OK;
}

static enum err file_insert(struct mongo *m, const struct file_info *f)
{
    bson_t *doc = gridfs_by_id(f->id);

    BSON_APPEND_UTF8(doc, "filename", f->name);
    BSON_APPEND_INT32(doc, "chunkSize", (int32_t)f->chunk);
    BSON_APPEND_INT64(doc, "length", f->length);
    BSON_APPEND_DATE_TIME(doc, "uploadDate", f->date_ms);
    enum err e = insert(m, FILES, doc);
    bson_destroy(doc);
    return e;
}

enum err gridfs_give_way(struct mongo *m, const bson_t *file)
{
    bson_t drop = BSON_INITIALIZER, filter = BSON_INITIALIZER;

    mongo_append_as_read(&filter, "_id", file, "_id");
    mongo_append_as_read(&drop, "_id", file, "_id");
    BSON_APPEND_DATE_TIME(&drop, "due_at", now_ms() + FILE_REPLACED_MS);
    enum err e = insert(m, DROPS, &drop);
    if (!e)
        e = gridfs_delete(m, FILES, &filter);
    bson_destroy(&drop);
    bson_destroy(&filter);
    return e;
}

/* Files of the name that are older give way: never a newer one that comes at the same time. */
static enum err replace(struct mongo *m, const struct file_info *f)
{
    bson_t filter = BSON_INITIALIZER, child, reply, doc;
    bson_iter_t batch;
    struct mongo_query q = {.collection = FILES, .filter = &filter, .limit = 100};

    BSON_APPEND_UTF8(&filter, "filename", f->name);
    BSON_APPEND_DOCUMENT_BEGIN(&filter, "uploadDate", &child);
    BSON_APPEND_DATE_TIME(&child, "$lt", f->date_ms);
    bson_append_document_end(&filter, &child);
    enum err e = mongo_find(m, &q, &reply, &batch);
    bson_destroy(&filter);
    if (e)
        return e;
    while (!e && mongo_next(&batch, &doc))
        e = gridfs_give_way(m, &doc);
    bson_destroy(&reply);
    return e;
}

/* The last step of a commit: a repeat that does not find the note has nothing to do. */
enum err mongo_file_commit(struct store *s, const struct file_info *file,
                           const struct text *attached_to)
{
    struct mongo *m = mongo_of(s);
    struct file_info f = *file;
    bool there;
    enum err alive = delay(m, &f);

    if (alive && alive != ERR_NOT_FOUND)
        return alive;
    enum err e = choose_date(m, &f, &there);
    if (!e && alive && !there)
        return ERR_NOT_FOUND;
    if (!e && !there)
        e = file_insert(m, &f);
    if (!e && attached_to)
        e = attachments_came(m, *attached_to);
    if (!e)
        e = replace(m, &f);
    if (e)
        return e;
    bson_t *filter = gridfs_by_id(f.id);
    e = gridfs_delete(m, DROPS, filter);
    bson_destroy(filter);
    return e;
}

/* ---- downloads ---- */

static int64_t number_of(const bson_t *doc, const char *field)
{
    bson_iter_t it;

    return mongo_field(doc, field, &it) && BSON_ITER_HOLDS_NUMBER(&it) ? bson_iter_as_int64(&it)
                                                                       : -1;
}

enum err mongo_file_open(struct store *s, struct text name, struct file_info *ret)
{
    bson_t reply, doc;
    bson_iter_t it;
    enum err e = gridfs_newest(mongo_of(s), name, &reply, &doc);

    if (e)
        return e;
    struct file_info f = {.length = number_of(&doc, "length"),
                          .chunk = number_of(&doc, "chunkSize"),
                          .date_ms = mongo_date(&doc, "uploadDate")};
    if (mongo_field(&doc, "_id", &it) && BSON_ITER_HOLDS_OID(&it) && f.length >= 0 && f.chunk > 0) {
        bson_oid_to_string(bson_iter_oid(&it), f.id);
        memcpy(f.name, name.s, name.len < FILE_NAME_SIZE ? name.len : FILE_NAME_SIZE - 1);
        *ret = f;
    } else {
        log_warn("the document of file %.*s in " FILES " is none of GridFS; remove it",
                 (int)name.len, name.s);
        e = ERR_NOT_FOUND;
    }
    bson_destroy(&reply);
    return e;
}

/* Appends the part of a chunk that is asked for; false: there is none. */
static bool chunk_take(const bson_t *doc, const struct file_info *f, int64_t at, int64_t end,
                       struct buf *out)
{
    int64_t first = number_of(doc, "n") * f->chunk;
    const uint8_t *data;
    uint32_t len;
    bson_iter_t it;

    if (first < 0 || !mongo_field(doc, "data", &it) || !BSON_ITER_HOLDS_BINARY(&it))
        return false;
    bson_iter_binary(&it, NULL, &len, &data);
    int64_t from = at > first ? at - first : 0, to = end - first < len ? end - first : len;
    return from < to && buf_add(out, data + from, (size_t)(to - from)) == ERR_OK;
}

/* Reads chunks from *n on, as many as one answer holds, and moves *n behind them. */
static enum err read_some(struct mongo *m, const struct file_info *f, int64_t at, int64_t end,
                          int64_t *n, struct buf *out)
{
    bson_t filter = BSON_INITIALIZER, sort = BSON_INITIALIZER, child, reply, doc;
    bson_iter_t batch;
    struct mongo_query q = {
        .collection = CHUNKS, .filter = &filter, .sort = &sort, .limit = CHUNKS_READ_MAX};
    int64_t first = *n;
    bson_oid_t id;

    bson_oid_init_from_string(&id, f->id);
    BSON_APPEND_OID(&filter, "files_id", &id);
    BSON_APPEND_DOCUMENT_BEGIN(&filter, "n", &child);
    mongo_append_int(&child, "$gte", first);
    mongo_append_int(&child, "$lte", (end - 1) / f->chunk);
    bson_append_document_end(&filter, &child);
    BSON_APPEND_INT32(&sort, "n", 1);
    enum err e = mongo_find(m, &q, &reply, &batch);
    bson_destroy(&filter);
    bson_destroy(&sort);
    if (e)
        return e;
    while (mongo_next(&batch, &doc) && number_of(&doc, "n") == *n &&
           chunk_take(&doc, f, at, end, out))
        ++*n;
    bson_destroy(&reply);
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
