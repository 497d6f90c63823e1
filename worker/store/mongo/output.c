/* Live output of jobs: documents {job_id, NAME: [texts], updated_at} in a collection for each type.
 * Ours beside these: `size`, bytes that went in, `recent`, the requests that did, and `at`, when
 * each entry came (of the newest entries, where the document is of another server). The server
 * writes the whole document at each append, so that one that is large enough is followed by a new
 * one. */
#include "worker/store/mongo/job.h"

#include "common/log.h"

/* At this size, a new document is begun. */
#define DOCUMENT_FULL ((int64_t)64 * 1024)

/* Limit of a document's entries, with room for the other fields. */
#define DOCUMENT_SIZE_MAX ((int64_t)(STORE_DOCUMENT_MAX - 16 * 1024))

#define ENTRY_OVERHEAD 32 /* of BSON: type, index, length, NUL; and of its time */
#define RECENT_MAX     32 /* requests that a repeat is recognised among */
#define TAKE_TRIES     8

/* Limit of the entries of one command. */
#define APPEND_BYTES_MAX ((int64_t)(8 * MIB))

/* Collection and field have the same name. */
static const char *const names[] = {[OUTPUT_OUTPUT] = OUTPUT, [OUTPUT_SERIAL] = SERIAL};

/* ---- appending ---- */

static int64_t size_of(const struct output_append *a)
{
    return (int64_t)a->text.len + ENTRY_OVERHEAD;
}

/* Appends to the document that has room (one of another server has no size), or to a new one. */
static void add_statement(struct mongo *m, struct db_batch *b, const struct output_append *a)
{
    int64_t at_ms = mongo_now_ms(m), room = DOCUMENT_SIZE_MAX - size_of(a);

    DB_ADD_UPDATE(b,
                  .filter = doc_of("job_id: ?, size: {$not: {$gt: ?}}", v_text(a->job_id),
                                   v_int(room < DOCUMENT_FULL ? room : DOCUMENT_FULL)),
                  .update =
                      doc_of("$push: {?: ?, at: ?, recent: {$each: [?], $slice: ?}}, $inc: {size: "
                             "?}, $set: {updated_at: ?}",
                             v_str(names[a->type]), v_text(a->text), v_date(at_ms),
                             v_str(a->asked.request_id), v_int(-RECENT_MAX), v_int(size_of(a)),
                             v_date(at_ms)),
                  .index = IX_OUTPUT, .upsert = true);
}

static enum err append(struct mongo *m, const struct output_append *a, size_t n,
                       struct db_done *done)
{
    struct db_batch b = DB_BATCH(names[a->type]);

    for (size_t i = 0; i < n; i++)
        add_statement(m, &b, &a[i]);
    return db_run(m, &b, done);
}

/* Sets the size of a full document that has none (of ours). */
static enum err mark_full(struct mongo *m, const struct output_append *a)
{
    return DB_UPDATE(m, names[a->type], NULL,
                     .filter = doc_of("job_id: ?, size: null", v_text(a->job_id)),
                     .update = doc_of("$set: {size: ?}", v_int64((int64_t)STORE_DOCUMENT_MAX)));
}

/* Whether the first try of a repeat was stored. ERR_NOT_FOUND: not. */
static enum err stored_already(struct mongo *m, const struct output_append *a)
{
    struct db_found f;
    enum err e = DB_FIRST(
        m, &f, .collection = names[a->type],
        .filter = doc_of("job_id: ?, recent: ?", v_text(a->job_id), v_str(a->asked.request_id)),
        .fields = "_id: true", .index = IX_OUTPUT);

    db_end(&f);
    return e;
}

/* Appends the first entries that fit one command: of one type, and only the first may be a repeat.
 * Returns how many have their outcome now. */
static size_t append_first(struct mongo *m, struct output_append *a, size_t n)
{
    int64_t bytes = size_of(&a[0]);
    struct db_done done;
    size_t len = 1;

    a->err = ERR_OK;
    if (size_of(a) > DOCUMENT_SIZE_MAX)
        a->err = ERR_TOO_LARGE;
    else if (a->asked.repeat && (a->err = stored_already(m, a)) == ERR_OK)
        return 1;
    if (a->err && a->err != ERR_NOT_FOUND)
        return 1;
    while (len < n && a[len].type == a->type && !a[len].asked.repeat &&
           (bytes += size_of(&a[len])) < APPEND_BYTES_MAX)
        len++;
    enum err e = append(m, a, len, &done);
    for (size_t i = 0; i < len; i++)
        a[i].err = e;
    if (!done.ran) /* they may be stored: do not repeat */
        return len;
    for (size_t i = 0; i < done.went_in; i++)
        a[i].err = ERR_OK;
    if (!e)
        return len;
    a = &a[done.went_in];
    len = done.went_in + 1;
    if (e == ERR_TOO_LARGE && (a->err = mark_full(m, a)) == ERR_OK)
        a->err = append(m, a, 1, &done);
    return len;
}

enum err mongo_outputs_append(struct store *s, struct output_append *appends, size_t n)
{
    for (size_t i = 0; i < n;)
        i += append_first(mongo_of(s), &appends[i], n - i);
    return ERR_OK;
}

/* ---- taking ---- */

static enum err find(struct mongo *m, struct text job_id, enum output_type type,
                     struct db_found *ret)
{
    return DB_FIND(m, ret, .collection = names[type], .filter = doc_of("job_id: ?", v_text(job_id)),
                   .index = IX_OUTPUT, .in_order = true, .limit = 1000);
}

/* Removes a document if it still has as many entries as were read. If the server dies now, text may
 * come twice, which is better than never. `entries` NULL: it has no such array. */
static enum err remove_read(struct mongo *m, const char *name, const bson_t *doc,
                            const json_t *entries, bool *ret_removed)
{
    struct db_batch b = DB_BATCH(name);
    struct db_done done;
    bson_t *filter = doc_of("_id: ?", v_field(doc, "_id"));

    b.light = true;
    if (entries)
        doc_add(filter, "?: {$size: ?}", v_str(name), v_int((int64_t)json_array_size(entries)));
    db_add_delete(&b, filter, false);
    enum err e = db_run(m, &b, &done);
    if (!e)
        *ret_removed = done.matched > 0;
    return e;
}

/* One pass over the oldest documents: moves their entries to `all`, up to the first one that
 * changed meanwhile. `*ret_seen`: there were documents. */
static enum err take_once(struct mongo *m, struct text job_id, enum output_type type, bool peek,
                          json_t *all, bool *ret_seen)
{
    const char *name = names[type];
    struct db_found f;
    bool removed = true;
    enum err e = find(m, job_id, type, &f);

    if (e)
        return e;
    *ret_seen = false;
    while (!e && removed && db_next(&f)) {
        json_t *value = doc_json(&f.doc, name), *entries = json_is_array(value) ? value : NULL;
        *ret_seen = true;
        if (!peek)
            e = remove_read(m, name, &f.doc, entries, &removed);
        if (!e && removed && entries)
            json_array_extend(all, entries);
        json_decref(value);
    }
    db_end(&f);
    return e;
}

enum err mongo_output_take(struct store *s, struct text job_id, enum output_type type, bool peek,
                           json_t **ret)
{
    json_t *all = json_array();
    bool seen = true;
    enum err e = ERR_OK;

    for (int i = 0; !e && seen && json_array_size(all) == 0 && i < TAKE_TRIES; i++)
        e = take_once(mongo_of(s), job_id, type, peek, all, &seen);
    if (json_array_size(all)) {
        if (e)
            log_warn("read only a part of the output of job %.*s: the database fails (see "
                     "above); the rest comes with the next read",
                     (int)job_id.len, job_id.s);
        *ret = all;
        return ERR_OK;
    }
    json_decref(all);
    return e ? e : ERR_NOT_FOUND;
}

/* ---- live output as pieces of a log ---- */

/* Adds the changes of the job's state; for a job of another server, its present state. */
static enum err note_changes(struct mongo *m, struct text job_id, struct live_output *l)
{
    struct db_found f;
    bson_iter_t list;
    bson_t entry;
    enum err e = job_find(m, job_id, "history: true, " STATE_PATH ": true", &f);

    if (e)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    if (doc_list(&f.doc, "history", &list))
        while (bson_iter_next(&list) && doc_view(&list, &entry))
            live_output_change(l, doc_text(&entry, "state"), doc_date(&entry, "at"));
    if (!l->changes_len)
        live_output_change(l, doc_text(&f.doc, STATE_PATH), INT64_MIN);
    db_end(&f);
    return ERR_OK;
}

/* The elements of an array, and their number. */
static size_t list_at(const bson_t *doc, const char *name, bson_iter_t *ret)
{
    bson_iter_t count;
    size_t n = 0;

    if (!doc_list(doc, name, ret) || !doc_list(doc, name, &count))
        return 0;
    while (bson_iter_next(&count))
        n++;
    return n;
}

/* Passes on the entries of a document; false: no more are wanted. */
static bool give(struct live_output *l, const bson_t *doc, const char *name)
{
    bson_iter_t entries, times;
    size_t n = list_at(doc, name, &entries), timed = list_at(doc, "at", &times);

    for (size_t i = 0; i < n && bson_iter_next(&entries); i++) {
        int64_t at_ms = doc_date(doc, "updated_at");
        struct text text = {"", 0};
        uint32_t len;
        if (i + timed >= n && bson_iter_next(&times) && BSON_ITER_HOLDS_DATE_TIME(&times))
            at_ms = bson_iter_date_time(&times);
        if (BSON_ITER_HOLDS_UTF8(&entries)) {
            text.s = bson_iter_utf8(&entries, &len);
            text.len = len;
        }
        if (!live_output_give(l, text, at_ms))
            return false;
    }
    return true;
}

enum err mongo_output_view(struct store *s, struct text job_id, enum output_type type,
                           log_take_fn *take, void *arg)
{
    struct live_output live = {.take = take, .arg = arg};
    struct db_found f;
    bool more = true;
    enum err e = find(mongo_of(s), job_id, type, &f);

    for (bool first = true; !e && more && db_next(&f); first = false) {
        if (first)
            e = note_changes(mongo_of(s), job_id, &live);
        more = !e && give(&live, &f.doc, names[type]);
    }
    db_end(&f);
    return e;
}
