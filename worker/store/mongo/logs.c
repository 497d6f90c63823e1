/* Fragments of logs: documents as the reference has them. Ours: the _id is a digest of what is in
 * the fragment, so that one that comes twice is stored once; `unread` until a reader of live output
 * has taken it. */
#include "worker/store/mongo/db.h"

#include "common/mem.h"
#include "worker/store/mongo/log_look.h"
#include "worker/store/mongo/oid.h"

#include <stdlib.h>
#include <string.h>

/* Limits of one insert, and of one read. */
#define INSERT_BYTES_MAX (8 * MIB)
#define READ_MAX         1000

/* A batch of fewer bytes is the last one: another document would have fitted. */
#define BATCH_NOT_FULL ((size_t)256 * 1024)

#define SEEN_MAX 64 /* fragments of one number that are told apart */

#define TAKE_TRIES 8
#define TAKE_MAX   1000 /* fragments in one go */

/* ---- adding ---- */

static bson_t *fragment(struct mongo *m, const struct log_fragment *f)
{
    bson_oid_t id;

    bson_oid_init_from_data(&id, f->key);
    return doc_of("_id: ?, job_id: ?, log_type: ?, phase: ?, fragment_number: ?, timestamp: ?, "
                  "log_data: ?, updated_at: ?, unread: ?",
                  v_oid(&id), v_text(f->job_id), v_str(output_type_names[f->type]),
                  v_str(phase_names[f->phase]), v_int(f->number), v_date(f->at_ms), v_text(f->text),
                  v_date(mongo_now_ms(m)), f->number >= 0 ? v_bool(true) : v_none());
}

/* A duplicate _id means that the fragment is stored. */
static void insert(struct mongo *m, struct log_fragment *fragments, size_t n)
{
    struct db_batch b = DB_BATCH(LOGS);
    enum err *errs = mem_alloc(n * sizeof *errs);

    b.unordered = b.last = true;
    for (size_t i = 0; i < n; i++)
        db_add_insert(&b, fragment(m, &fragments[i]));
    db_run_inserts(m, &b, errs, n);
    for (size_t i = 0; i < n; i++)
        fragments[i].err = errs[i];
    free(errs);
}

enum err mongo_logs_add(struct store *s, struct log_fragment *fragments, size_t n)
{
    for (size_t i = 0, len; i < n; i += len) {
        size_t bytes = fragments[i].text.len;
        for (len = 1; i + len < n && bytes < INSERT_BYTES_MAX - fragments[i + len].text.len; len++)
            bytes += fragments[i + len].text.len;
        insert(mongo_of(s), &fragments[i], len);
    }
    return ERR_OK;
}

enum err mongo_logs_look(struct store *s, struct log_look *looks, size_t n)
{
    return log_look(mongo_of(s), looks, n);
}

/* ---- reading ---- */

/* The piece of a document, as a view; false: its phase is unknown. */
static bool piece_of(const bson_t *doc, struct log_piece *ret)
{
    struct text phase = doc_text(doc, "phase"), text = doc_text(doc, "log_data");

    *ret = (struct log_piece){.phase = phase.s ? phase_of(phase) : -1,
                              .number = doc_int(doc, "fragment_number", 0),
                              .at_ms = doc_date(doc, "timestamp"),
                              .text = text.s ? text : (struct text){"", 0}};
    return ret->phase >= 0;
}

/* The fragments of a log from a number on. phase -1: all known ones; the server merges their index
 * ranges in order. */
static bson_t *log_filter(struct text job_id, enum output_type type, int phase, int64_t start)
{
    return doc_of("job_id: ?, log_type: ?, phase: ?, fragment_number: {$gte: ?}", v_text(job_id),
                  v_str(output_type_names[type]),
                  phase >= 0 ? v_str(phase_names[phase])
                             : v_own(doc_of("$in: ?", v_strs(phase_names, PHASE_COUNT))),
                  v_int(start));
}

enum err mongo_logs_numbers(struct store *s, struct log_numbers *n)
{
    struct db_found f;
    struct log_piece piece;
    size_t room = 64;
    enum err e = DB_FIND(
        mongo_of(s), &f, .collection = LOGS, .filter = log_filter(n->job_id, n->type, -1, n->start),
        .fields = "_id: false, phase: true, fragment_number: "
                  "true",
        .sort = "fragment_number: 1", .index = IX_FRAGMENT, .limit = LOG_NUMBERS_MAX);

    if (e)
        return e;
    n->len = 0;
    n->numbers = mem_alloc(room * sizeof *n->numbers);
    while (db_next(&f)) {
        if (!piece_of(&f.doc, &piece))
            continue;
        if (n->len == room)
            n->numbers = mem_realloc(n->numbers, (room *= 2) * sizeof *n->numbers);
        n->numbers[n->len++] = (struct log_number){piece.phase, piece.number};
    }
    db_end(&f);
    return ERR_OK;
}

/* What a walk over a log reads of each fragment, and where it is after some batches. */
struct place {
    bool sizes;     /* no texts */
    bool backwards; /* by number */
    int64_t number; /* of the last fragment */
    bson_oid_t seen[SEEN_MAX];
    size_t seen_len; /* of that number */
    int batch;       /* documents of the next one */
    bool fresh;      /* the batch had some that were not seen before */
    bool enough;     /* the taker wants no more */
};

/* Records a fragment; false: it was passed on already. */
static bool is_fresh(struct place *p, const bson_t *doc, int64_t number)
{
    const bson_oid_t *id = doc_oid(doc, "_id");

    if (number != p->number) {
        p->number = number;
        p->seen_len = 0;
    }
    for (size_t i = 0; id && i < p->seen_len; i++)
        if (bson_oid_equal(&p->seen[i], id))
            return false;
    if (id && p->seen_len < SEEN_MAX)
        bson_oid_copy(id, &p->seen[p->seen_len++]);
    return true;
}

/* The fragments from the place on. */
static bson_t *filter_of(const struct log_read *r, const struct place *p)
{
    int64_t first = p->backwards ? r->start : p->number;
    bson_t *filter = log_filter(r->job_id, r->type, r->phase, first);

    if (p->backwards)
        doc_add(filter, "$and: [{fragment_number: {$lte: ?}}]", v_int(p->number));
    if (r->since_ms != INT64_MIN)
        doc_add(filter, "timestamp: {$gte: ?}", v_date(r->since_ms));
    return filter;
}

/* Passes on one batch. *ret_more: there may be further ones. */
static enum err read_batch(struct mongo *m, const struct log_read *r, struct place *p,
                           bool *ret_more)
{
    static const char sizes[] =
        "phase: true, fragment_number: true, timestamp: true, size: {$cond: "
        "[{$eq: [{$type: '$log_data'}, 'string']}, {$strLenBytes: '$log_data'}, 0]}";
    struct db_found f;
    struct log_piece piece;
    int n = 0;
    enum err e = DB_FIND(m, &f, .collection = LOGS, .filter = filter_of(r, p),
                         .fields = p->sizes ? sizes : NULL,
                         .sort = p->backwards ? "fragment_number: -1" : "fragment_number: 1",
                         .index = IX_FRAGMENT, .limit = p->batch);

    if (e)
        return e;
    p->fresh = false;
    for (; !p->enough && db_next(&f); n++) {
        if (!piece_of(&f.doc, &piece) || !is_fresh(p, &f.doc, piece.number))
            continue;
        if (p->sizes)
            piece.text = (struct text){NULL, (size_t)doc_int(&f.doc, "size", 0)};
        p->fresh = true;
        p->enough = !r->take(r->arg, &piece);
    }
    *ret_more = !p->enough && (p->fresh || p->batch < READ_MAX) &&
                (n == p->batch || f.reply.len >= BATCH_NOT_FULL);
    if (p->seen_len == SEEN_MAX && p->number != (p->backwards ? 0 : INT64_MAX)) {
        p->number += p->backwards ? -1 : 1;
        p->seen_len = 0;
    }
    db_end(&f);
    return ERR_OK;
}

static enum err walk(struct mongo *m, const struct log_read *read, struct place *p)
{
    bool more = true;
    enum err e = ERR_OK;

    p->batch = read->batch && read->batch < READ_MAX ? read->batch : READ_MAX;
    while (!e && more) {
        e = read_batch(m, read, p, &more);
        p->batch = 4 * p->batch < READ_MAX ? 4 * p->batch : READ_MAX;
    }
    return e;
}

enum err mongo_logs_read(struct store *s, const struct log_read *read)
{
    struct place p = {.number = read->start};

    return walk(mongo_of(s), read, &p);
}

enum err mongo_logs_sizes(struct store *s, const struct log_read *read)
{
    struct place p = {.sizes = true,
                      .backwards = read->backwards,
                      .number = read->backwards ? INT64_MAX : read->start};

    return walk(mongo_of(s), read, &p);
}

/* ---- taking: each fragment once ---- */

/* A fragment that was taken has the request, as an id, for `unread`; older releases and readers
 * remove the field. Texts stay: they are the job's log. */
struct taking {
    struct live_take *t;
    bson_oid_t by; /* made of the request */
    bson_t ids;    /* array: of the documents whose texts were appended */
    size_t n;
    bool ours; /* they were taken by the request before */
};

/* Finds what nobody has taken and what the request has, the latter first; or only that. */
static enum err find_taken(struct mongo *m, const struct taking *k, bool only, struct db_found *ret)
{
    const struct live_take *t = k->t;

    return DB_FIND(m, ret, .collection = LOGS,
                   .filter = doc_of("job_id: ?, log_type: ?, unread: ?", v_text(t->job_id),
                                    v_str(output_type_names[t->type]),
                                    only      ? v_oid(&k->by)
                                    : t->peek ? v_bool(true)
                                              : v_own(doc_of("$in: [true, ?]", v_oid(&k->by)))),
                   .sort = "unread: 1, fragment_number: 1", .index = IX_UNREAD, .limit = TAKE_MAX);
}

/* Appends the texts that fit: those that the request has, if there are any, else the others. */
static void append_texts(struct taking *k, struct db_found *f)
{
    struct log_piece piece;
    size_t size = 0;

    for (; db_next(f); k->n++) {
        bool ours = doc_oid(&f->doc, "unread");
        bool is_piece = piece_of(&f->doc, &piece);
        size += is_piece ? piece.text.len + 1 : 0;
        if ((k->n && ours != k->ours) || size > k->t->max)
            return;
        k->ours = ours;
        doc_put_at(&k->ids, k->n, v_field(&f->doc, "_id"));
        if (is_piece)
            live_entry_add(k->t->entries, piece.text);
    }
}

/* Marks what was found as taken. ERR_CONFLICT: another reader has a part of it. Should the server
 * die now, text may come twice, which is better than never. */
static enum err mark(struct mongo *m, const struct taking *k)
{
    struct db_batch b = DB_BATCH(LOGS);
    struct db_done done;

    b.light = true;
    DB_ADD_UPDATE(&b, .filter = doc_of("_id: {$in: ?}, unread: true", v_array(&k->ids)),
                  .update = doc_of("$set: {unread: ?}", v_oid(&k->by)), .index = IX_ID,
                  .all = true);
    enum err e = db_run(m, &b, &done);
    return !e && (size_t)done.modified < k->n ? ERR_CONFLICT : e;
}

/* ERR_CONFLICT: as mark(); ERR_NOT_FOUND: there is nothing that fits. */
static enum err take_once(struct mongo *m, struct live_take *t, bool only_ours)
{
    struct taking k = {.t = t, .ids = BSON_INITIALIZER};
    struct db_found f;

    json_array_clear(t->entries);
    oid_of_text((struct text){t->asked.request_id, strlen(t->asked.request_id)}, &k.by);
    enum err e = find_taken(m, &k, only_ours, &f);
    if (!e) {
        append_texts(&k, &f);
        db_end(&f);
    }
    t->again = k.ours;
    if (!e && !k.n)
        e = ERR_NOT_FOUND;
    else if (!e && !t->peek && !k.ours)
        e = mark(m, &k);
    bson_destroy(&k.ids);
    return e;
}

enum err mongo_logs_take(struct store *s, struct live_take *t)
{
    enum err e = ERR_CONFLICT;

    for (int i = 0; e == ERR_CONFLICT && i < TAKE_TRIES; i++) {
        e = take_once(mongo_of(s), t, false);
        if (e == ERR_CONFLICT && (e = take_once(mongo_of(s), t, true)) == ERR_NOT_FOUND)
            e = ERR_CONFLICT;
    }
    if (e == ERR_CONFLICT || (!e && json_array_size(t->entries) == 0))
        return ERR_NOT_FOUND;
    return e;
}
