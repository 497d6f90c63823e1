/* Live output of jobs: documents {job_id, NAME: [texts], updated_at} in a collection for each type.
 * Ours have one text and an _id made of the request, so that a repeat meets its document, and
 * beside these: `at`, when each text came; `order`, by the server's clock; `size` and `recent`, by
 * which older releases append to no document of ours and find a repeat. Those of older releases and
 * of other servers hold many texts and may grow.
 *
 * One that was taken has the job id "! ID", `by`, the request, and `taken_at`. When another request
 * takes, it loses its text and the rest of its job id, and `by` becomes `was`; the database removes
 * it TAKEN_KEPT_MS after taken_at. */
#include "worker/store/mongo/job.h"

#include "common/log.h"
#include "common/mem.h"
#include "worker/store/mongo/oid.h"

#include <stdio.h>
#include <stdlib.h>

/* What a document may hold, with room for what is around it. */
#define DOCUMENT_SIZE_MAX ((size_t)(STORE_DOCUMENT_MAX - 16 * 1024))

#define INSERT_BYTES_MAX (8 * MIB) /* of the texts of one command */

#define TAKE_TRIES 8
#define TAKE_MAX   10000  /* documents in one go */
#define VIEW_MAX   100000 /* the server ends a batch at 16 MiB */

#define TAKEN      "! " /* before the job id, in which it cannot be; alone: nobody needs it */
#define TAKEN_SIZE (sizeof TAKEN - 1 + JOB_ID_MAX)

/* Collection and field have the same name. */
static const char *const names[] = {[OUTPUT_OUTPUT] = OUTPUT, [OUTPUT_SERIAL] = SERIAL};

/* ---- appending ---- */

/* Made of the request. It begins with the request's time, seconds as in ids that drivers make, then
 * microseconds: older releases read in the order of ids. */
static void post_id(const struct output_append *a, bson_oid_t *ret)
{
    uint32_t s = (uint32_t)(a->asked.received_us / 1000000);
    uint32_t us = (uint32_t)(a->asked.received_us % 1000000);

    oid_of_text((struct text){a->asked.request_id, strlen(a->asked.request_id)}, ret);
    for (int i = 0; i < 4; i++)
        ret->bytes[i] = (uint8_t)(s >> (24 - 8 * i));
    for (int i = 0; i < 3; i++)
        ret->bytes[4 + i] = (uint8_t)(us >> (16 - 8 * i));
}

static bson_t *document(struct mongo *m, const struct output_append *a)
{
    struct text request = {a->asked.request_id, strlen(a->asked.request_id)};
    int64_t at_ms = mongo_now_ms(m);
    bson_oid_t id;

    post_id(a, &id);
    return doc_of("_id: ?, job_id: ?, ?: [?], at: [?], order: ?, size: ?, recent: [?], "
                  "updated_at: ?",
                  v_oid(&id), v_text(a->job_id), v_str(names[a->type]), v_text(a->text),
                  v_date(at_ms), v_stamp(), v_int64((int64_t)STORE_DOCUMENT_MAX), v_text(request),
                  v_date(at_ms));
}

/* Whether an older release stored it on the first try. ERR_NOT_FOUND: not. */
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

/* A duplicate _id tells that the text is there, or was taken. */
static void insert(struct mongo *m, struct output_append *a, size_t n)
{
    struct db_batch b = DB_BATCH(names[a->type]);
    enum err *errs = mem_alloc(n * sizeof *errs);

    b.unordered = b.last = true;
    for (size_t i = 0; i < n; i++)
        db_add_insert(&b, document(m, &a[i]));
    db_run_inserts(m, &b, errs, n);
    for (size_t i = 0; i < n; i++)
        a[i].err = errs[i];
    free(errs);
}

static bool is_plain(const struct output_append *a)
{
    return !a->asked.repeat && a->text.len <= DOCUMENT_SIZE_MAX;
}

/* Appends the first ones, as many as one command takes: of one type. Returns how many have their
 * outcome now. */
static size_t append_first(struct mongo *m, struct output_append *a, size_t n)
{
    size_t bytes = a->text.len, len = 1;

    a->err = ERR_NOT_FOUND;
    if (a->text.len > DOCUMENT_SIZE_MAX)
        a->err = ERR_TOO_LARGE;
    else if (a->asked.repeat)
        a->err = stored_already(m, a);
    if (a->err != ERR_NOT_FOUND)
        return 1;
    while (len < n && a[len].type == a->type && is_plain(&a[len]) &&
           (bytes += a[len].text.len) < INSERT_BYTES_MAX)
        len++;
    insert(m, a, len);
    return len;
}

enum err mongo_outputs_append(struct store *s, struct output_append *appends, size_t n)
{
    for (size_t i = 0; i < n;)
        i += append_first(mongo_of(s), &appends[i], n - i);
    return ERR_OK;
}

/* ---- taking ---- */

struct taking {
    struct live_take *t;
    const char *name;
    char taken[TAKEN_SIZE]; /* the job id of what was taken */
    size_t taken_len;
    bson_oid_t by;     /* made of the request */
    size_t size;       /* bytes so far */
    bool full;         /* no more fits */
    struct db_found f; /* what is looked at */
    int seen;          /* documents of it */
    bool more;         /* there may be further ones */
};

static struct taking taking_of(struct live_take *t)
{
    struct taking k = {.t = t, .name = names[t->type]};
    size_t len = t->job_id.len < JOB_ID_MAX ? t->job_id.len : JOB_ID_MAX;

    memcpy(k.taken, TAKEN, sizeof TAKEN - 1);
    memcpy(k.taken + sizeof TAKEN - 1, t->job_id.s, len);
    k.taken_len = sizeof TAKEN - 1 + len;
    oid_of_text((struct text){t->asked.request_id, strlen(t->asked.request_id)}, &k.by);
    return k;
}

/* Appends the texts of a document, if they fit or are the first; *ret_n: how many it has. False:
 * they do not fit. */
static bool add_texts(struct taking *k, const bson_t *doc, size_t *ret_n)
{
    size_t before = json_array_size(k->t->entries), size = k->size;
    bson_iter_t texts;

    *ret_n = 0;
    if (!doc_list(doc, k->name, &texts))
        return true;
    for (; bson_iter_next(&texts); ++*ret_n) {
        struct text text = {"", 0};
        uint32_t len = 0;
        if (BSON_ITER_HOLDS_UTF8(&texts)) {
            text.s = bson_iter_utf8(&texts, &len);
            text.len = len;
        }
        size += text.len + 1;
        if (size > k->t->max && before) {
            k->full = true;
            while (json_array_size(k->t->entries) > before)
                json_array_remove(k->t->entries, json_array_size(k->t->entries) - 1);
            return false;
        }
        live_entry_add(k->t->entries, text);
    }
    k->size = size;
    return true;
}

enum whose { FRESH, OURS, EITHER };

/* Finds what nobody has taken, what this request has, or both, the latter first; of the first
 * behind `after`, unless that is NULL. */
static enum err find(struct mongo *m, struct taking *k, enum whose whose, const bson_t *after)
{
    struct text taken = {k->taken, k->taken_len};
    bson_t *filter = whose == FRESH  ? doc_of("job_id: ?, by: null", v_text(k->t->job_id))
                     : whose == OURS ? doc_of("job_id: ?, by: ?", v_text(taken), v_oid(&k->by))
                                     : doc_of("job_id: {$in: [?, ?]}, by: {$in: [null, ?]}",
                                              v_text(taken), v_text(k->t->job_id), v_oid(&k->by));

    k->seen = 0;
    if (after)
        doc_add(filter, "order: {$gt: ?}", v_field(after, "order"));
    return DB_FIND(m, &k->f, .collection = k->name, .filter = filter, .index = IX_OUTPUT,
                   .in_order = true, .limit = TAKE_MAX, .more = &k->more);
}

static bool next(struct taking *k)
{
    if (!db_next(&k->f))
        return false;
    if (++k->seen == TAKE_MAX)
        k->more = true;
    return true;
}

/* Gives all that the request has taken. ERR_NOT_FOUND. */
static enum err take_again(struct mongo *m, struct taking *k)
{
    bson_t *last = NULL;
    enum err e;
    size_t n;

    json_array_clear(k->t->entries);
    k->size = 0;
    do {
        e = find(m, k, OURS, last);
        if (last)
            bson_destroy(last);
        last = NULL;
        if (e)
            break;
        while (next(k) && add_texts(k, &k->f.doc, &n)) {
            if (last)
                bson_destroy(last);
            last = doc_of("order: ?", v_field(&k->f.doc, "order"));
        }
        db_end(&k->f);
    } while (k->more && last && !k->full);
    if (last)
        bson_destroy(last);
    k->t->again = !e && json_array_size(k->t->entries) > 0;
    return e || k->t->again ? e : ERR_NOT_FOUND;
}

/* The update that marks documents as taken, each if it still holds what was read. */
struct marks {
    struct db_batch batch; /* light: should the server die now, text may come twice */
    bson_t ids;            /* array: of documents with one text */
    size_t ids_len, len;
};

static void add_mark(struct mongo *m, struct taking *k, struct marks *marks, bson_t *filter,
                     bool all)
{
    struct text taken = {k->taken, k->taken_len};

    doc_add(filter, "job_id: ?", v_text(k->t->job_id));
    DB_ADD_UPDATE(&marks->batch, .filter = filter,
                  .update = doc_of("$set: {job_id: ?, by: ?, taken_at: ?}", v_text(taken),
                                   v_oid(&k->by), v_date(mongo_now_ms(m))),
                  .index = IX_ID, .all = all);
}

static void mark_one(struct mongo *m, struct taking *k, struct marks *marks, const bson_t *doc,
                     size_t texts)
{
    bson_iter_t list;

    marks->len++;
    if (texts == 1)
        doc_put_at(&marks->ids, marks->ids_len++, v_field(doc, "_id"));
    else
        add_mark(m, k, marks,
                 doc_of("_id: ?, ?: ?", v_field(doc, "_id"), v_str(k->name),
                        doc_list(doc, k->name, &list)
                            ? v_own(doc_of("$size: ?", v_int((int64_t)texts)))
                            : v_field(doc, k->name)),
                 false);
}

/* ERR_CONFLICT: others took a part of it, or it has grown. */
static enum err mark(struct mongo *m, struct taking *k, struct marks *marks)
{
    struct db_done done;

    if (marks->ids_len)
        add_mark(m, k, marks,
                 doc_of("_id: {$in: ?}, ?: {$size: 1}", v_array(&marks->ids), v_str(k->name)),
                 true);
    enum err e = db_run(m, &marks->batch, &done);
    return !e && (size_t)done.modified < marks->len ? ERR_CONFLICT : e;
}

/* Adds the identities of those documents that this request has taken to the keys of `won`. */
static enum err find_won(struct mongo *m, const struct taking *k, const bson_t *ids, json_t *won)
{
    struct db_found f;
    enum err e = DB_FIND(m, &f, .collection = k->name,
                         .filter = doc_of("_id: {$in: ?}, $or: [{by: ?}, {was: ?}]", v_array(ids),
                                          v_oid(&k->by), v_oid(&k->by)),
                         .fields = "_id: true", .index = IX_ID, .limit = TAKE_MAX);

    while (!e && db_next(&f))
        json_object_setn_new_nocheck(won, (const char *)bson_get_data(&f.doc), f.doc.len,
                                     json_true());
    db_end(&f);
    return e;
}

static bool is_won(const json_t *won, const bson_t *doc)
{
    bson_t *id = doc_of("_id: ?", v_field(doc, "_id"));
    bool is = json_object_getn(won, (const char *)bson_get_data(id), id->len) != NULL;

    bson_destroy(id);
    return is;
}

/* Others took a part of the first `len` documents from `begin` on, whose texts are the entries
 * behind the first `before`: keeps the rest. Does not read the texts again, which the next request
 * to take may have removed meanwhile. ERR_CONFLICT: the others have all. */
static enum err keep_won(struct mongo *m, struct taking *k, const bson_iter_t *begin, size_t len,
                         size_t before)
{
    bson_t ids = BSON_INITIALIZER;
    json_t *won = json_object();
    size_t i, n;

    k->f.batch = *begin;
    for (i = 0; i < len && db_next(&k->f); i++)
        doc_put_at(&ids, i, v_field(&k->f.doc, "_id"));
    enum err e = find_won(m, k, &ids, won);
    bson_destroy(&ids);
    for (i = json_array_size(k->t->entries); i > before; i--)
        json_array_remove(k->t->entries, i - 1);
    k->f.batch = *begin;
    for (i = 0; !e && i < len && db_next(&k->f); i++)
        if (is_won(won, &k->f.doc))
            (void)add_texts(k, &k->f.doc, &n); /* they fitted with the others */
    json_decref(won);
    return e || json_array_size(k->t->entries) > before ? e : ERR_CONFLICT;
}

/* Takes from the next documents, as many as fit. ERR_NOT_FOUND: there are none; ERR_CONFLICT:
 * others took them meanwhile. */
static enum err take_some(struct mongo *m, struct taking *k, enum whose whose)
{
    struct marks marks = {.batch = DB_BATCH(k->name), .ids = BSON_INITIALIZER};
    size_t n, before = json_array_size(k->t->entries), size = k->size;
    enum err e = find(m, k, whose, NULL);
    bool ours = false;

    if (e)
        return e;
    const bson_iter_t begin = k->f.batch;
    marks.batch.light = true;
    while (next(k) && !(ours = doc_oid(&k->f.doc, "by")) && add_texts(k, &k->f.doc, &n))
        mark_one(m, k, &marks, &k->f.doc, n);
    if (!ours && marks.len == 0)
        e = ERR_NOT_FOUND;
    else if (!ours && !k->t->peek)
        e = mark(m, k, &marks);
    if (e == ERR_CONFLICT) {
        k->size = size;
        e = keep_won(m, k, &begin, marks.len, before);
    }
    db_end(&k->f);
    if (ours)
        e = take_again(m, k);
    db_drop(&marks.batch);
    bson_destroy(&marks.ids);
    return e;
}

/* Nobody asks any more for what other requests took before: only their ids stay. A failure (logged)
 * leaves the texts until the database removes them. */
static void forget_others(struct mongo *m, const struct taking *k)
{
    struct text taken = {k->taken, k->taken_len};
    struct db_batch b = DB_BATCH(k->name);

    b.light = true;
    DB_ADD_UPDATE(&b, .filter = doc_of("job_id: ?, by: {$ne: ?}", v_text(taken), v_oid(&k->by)),
                  .update = doc_of("$set: {job_id: '" TAKEN "', ?: []}, $rename: {by: 'was'}",
                                   v_str(k->name)),
                  .index = IX_OUTPUT, .all = true);
    if (db_run(m, &b, NULL))
        log_debug("texts that were read before stay a while");
}

enum err mongo_output_take(struct store *s, struct live_take *t)
{
    struct mongo *m = mongo_of(s);
    struct taking k = taking_of(t);
    enum whose whose = t->peek ? FRESH : EITHER;
    int lost = 0;
    enum err e;

    t->again = false;
    do {
        e = take_some(m, &k, whose);
        if (e == ERR_CONFLICT) {
            k.more = ++lost < TAKE_TRIES;
            e = k.more ? ERR_OK : ERR_NOT_FOUND;
        }
        whose = FRESH;
    } while (!e && k.more && !k.full && !t->peek && !t->again);
    if (json_array_size(t->entries) == 0)
        return e ? e : ERR_NOT_FOUND;
    if (e && e != ERR_NOT_FOUND)
        log_warn("read only a part of the output of job %.*s, since the database fails (see "
                 "above); the rest comes with the next read",
                 (int)t->job_id.len, t->job_id.s);
    if (!t->peek && !t->again)
        forget_others(m, &k);
    return ERR_OK;
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
    enum err e = DB_FIND(mongo_of(s), &f, .collection = names[type],
                         .filter = doc_of("job_id: ?, by: null", v_text(job_id)),
                         .index = IX_OUTPUT, .in_order = true, .limit = VIEW_MAX);

    for (bool first = true; !e && more && db_next(&f); first = false) {
        if (first)
            e = note_changes(mongo_of(s), job_id, &live);
        more = !e && give(&live, &f.doc, names[type]);
    }
    db_end(&f);
    return e;
}
