/* Fragments of logs: documents as the reference has them. Ours: the _id is a digest of what is in
 * the fragment, so that one that comes twice is stored once; `unread` until a reader of live output
 * has taken it. */
#include "worker/store/mongo/logs.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

/* What one insert holds, and one read. */
#define INSERT_BYTES_MAX (8 * MIB)
#define READ_MAX         1000

/* Entries of the index that a look fetches. */
#define LOOK_HERE_MAX 500

/* A batch of fewer bytes ended because there were no more documents: the next would have fit. */
#define BATCH_NOT_FULL ((size_t)256 * 1024)

#define SEEN_MAX 64 /* fragments of one number that are told apart */

const char *const log_type_names[] = {[OUTPUT_OUTPUT] = "output", [OUTPUT_SERIAL] = "serial"};

/* ---- adding ---- */

static void append_fragment(bson_t *to, size_t index, const struct log_fragment *f)
{
    char key[MONGO_INDEX_SIZE];
    bson_oid_t id;
    bson_t doc;

    bson_oid_init_from_data(&id, f->key);
    BSON_APPEND_DOCUMENT_BEGIN(to, mongo_index(index, key), &doc);
    BSON_APPEND_OID(&doc, "_id", &id);
    mongo_append_text(&doc, "job_id", f->job_id);
    BSON_APPEND_UTF8(&doc, "log_type", log_type_names[f->type]);
    BSON_APPEND_UTF8(&doc, "phase", phase_names[f->phase]);
    mongo_append_int(&doc, "fragment_number", f->number);
    BSON_APPEND_DATE_TIME(&doc, "timestamp", f->at_ms);
    mongo_append_text(&doc, "log_data", f->text);
    BSON_APPEND_DATE_TIME(&doc, "updated_at", clock_wall_us() / 1000);
    if (f->number >= 0)
        BSON_APPEND_BOOL(&doc, "unread", true);
    bson_append_document_end(to, &doc);
}

/* A duplicate _id tells that the fragment is there. */
static void take_write_error(const bson_t *error, struct log_fragment *fragments, size_t n)
{
    bson_iter_t it;
    int64_t index = mongo_field(error, "index", &it) ? bson_iter_as_int64(&it) : -1;
    int code = mongo_field(error, "code", &it) ? (int)bson_iter_as_int64(&it) : 0;
    enum err e = mongo_code_err(code);

    if (e == ERR_CONFLICT)
        return;
    log_error("a fragment of a log was not stored: %s (code %d); see the server's log",
              mongo_field(error, "errmsg", &it) ? bson_iter_utf8(&it, NULL) : "no reason given",
              code);
    if (index >= 0 && (size_t)index < n)
        fragments[index].err = e;
}

static void insert(struct mongo *m, struct log_fragment *fragments, size_t n)
{
    bson_t command = BSON_INITIALIZER, documents, reply, error;
    bson_iter_t at, errors;

    BSON_APPEND_UTF8(&command, "insert", LOGS);
    BSON_APPEND_BOOL(&command, "ordered", false);
    BSON_APPEND_ARRAY_BEGIN(&command, "documents", &documents);
    for (size_t i = 0; i < n; i++)
        append_fragment(&documents, i, &fragments[i]);
    bson_append_array_end(&command, &documents);
    enum err e = mongo_write(m, &command, &reply);
    bson_destroy(&command);
    for (size_t i = 0; i < n; i++)
        fragments[i].err = e;
    if (e)
        return;
    if (bson_iter_init_find(&at, &reply, "writeErrors") && bson_iter_recurse(&at, &errors))
        while (mongo_next(&errors, &error))
            take_write_error(&error, fragments, n);
    bson_destroy(&reply);
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

/* ---- looking: by the index alone ---- */

/* {job_id: {$in: ...}, fragment_number: {$gte: 0}} */
static void append_looks(bson_t *filter, const struct log_look *looks, size_t n)
{
    char key[MONGO_INDEX_SIZE];
    bson_t child, list;

    BSON_APPEND_DOCUMENT_BEGIN(filter, "job_id", &child);
    BSON_APPEND_ARRAY_BEGIN(&child, "$in", &list);
    for (size_t i = 0; i < n; i++)
        mongo_append_text(&list, mongo_index(i, key), looks[i].job_id);
    bson_append_array_end(&child, &list);
    bson_append_document_end(filter, &child);
    BSON_APPEND_DOCUMENT_BEGIN(filter, "fragment_number", &child);
    BSON_APPEND_INT32(&child, "$gte", 0);
    bson_append_document_end(filter, &child);
}

/* [{$match: as above}, {$group: {_id: {job_id, log_type}, count, last}}] */
static bson_t *look_pipeline(const struct log_look *looks, size_t n)
{
    bson_t *pipeline = bson_new(), stage, match;

    BSON_APPEND_DOCUMENT_BEGIN(pipeline, "0", &stage);
    BSON_APPEND_DOCUMENT_BEGIN(&stage, "$match", &match);
    append_looks(&match, looks, n);
    bson_append_document_end(&stage, &match);
    bson_append_document_end(pipeline, &stage);
    bson_t *group = BCON_NEW("$group", "{", "_id", "{", "job_id", "$job_id", "log_type",
                             "$log_type", "}", "count", "{", "$sum", BCON_INT32(1), "}", "last",
                             "{", "$max", "$fragment_number", "}", "}");
    BSON_APPEND_DOCUMENT(pipeline, "1", group);
    bson_destroy(group);
    return pipeline;
}

static bool holds_text(const bson_t *doc, const char *path, struct text t)
{
    bson_iter_t it;
    uint32_t len;

    if (!mongo_field(doc, path, &it) || !BSON_ITER_HOLDS_UTF8(&it))
        return false;
    const char *s = bson_iter_utf8(&it, &len);
    return len == t.len && memcmp(s, t.s, len) == 0;
}

static int64_t number_of(const bson_t *doc, const char *field)
{
    bson_iter_t it;

    return bson_iter_init_find(&it, doc, field) ? bson_iter_as_int64(&it) : 0;
}

/* Adds fragments of a job and type, whose names are found under the paths. */
static void add_look(struct log_look *looks, size_t n, const bson_t *doc, const char *job_path,
                     const char *type_path, int64_t count, int64_t last)
{
    for (int type = 0; type < OUTPUT_TYPES; type++) {
        const char *name = log_type_names[type];
        if (!holds_text(doc, type_path, (struct text){name, strlen(name)}))
            continue;
        for (size_t i = 0; i < n; i++)
            if (holds_text(doc, job_path, looks[i].job_id)) {
                looks[i].types[type].count += count;
                if (last > looks[i].types[type].last)
                    looks[i].types[type].last = last;
            }
    }
}

static void looks_clear(struct log_look *looks, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        looks[i].err = ERR_OK;
        for (int type = 0; type < OUTPUT_TYPES; type++) {
            looks[i].types[type].count = 0;
            looks[i].types[type].last = -1;
        }
    }
}

/* Counts the entries of the index here, which takes half as long as to let the server group them.
 * *ret_all false: there are more. */
static enum err look_here(struct mongo *m, struct log_look *looks, size_t n, bool *ret_all)
{
    bson_t filter = BSON_INITIALIZER, reply, doc;
    bson_t *projection = BCON_NEW("_id", BCON_BOOL(false), "job_id", BCON_BOOL(true), "log_type",
                                  BCON_BOOL(true), "fragment_number", BCON_BOOL(true));
    struct mongo_query q = {.collection = LOGS,
                            .filter = &filter,
                            .projection = projection,
                            .hint = m->fixed.by_fragment,
                            .limit = LOOK_HERE_MAX};
    bson_iter_t batch;
    int found = 0;

    append_looks(&filter, looks, n);
    enum err e = mongo_find(m, &q, &reply, &batch);
    bson_destroy(&filter);
    bson_destroy(projection);
    if (e)
        return e;
    for (; mongo_next(&batch, &doc); found++)
        add_look(looks, n, &doc, "job_id", "log_type", 1, number_of(&doc, "fragment_number"));
    *ret_all = found < LOOK_HERE_MAX;
    bson_destroy(&reply);
    return ERR_OK;
}

/* Lets the server count. */
static enum err look_there(struct mongo *m, struct log_look *looks, size_t n)
{
    bson_t command = BSON_INITIALIZER, *pipeline = look_pipeline(looks, n), cursor, reply, group;
    bson_iter_t at, batch;

    BSON_APPEND_UTF8(&command, "aggregate", LOGS);
    BSON_APPEND_ARRAY(&command, "pipeline", pipeline);
    BSON_APPEND_DOCUMENT_BEGIN(&command, "cursor", &cursor);
    BSON_APPEND_INT32(&cursor, "batchSize", 1000);
    bson_append_document_end(&command, &cursor);
    BSON_APPEND_DOCUMENT(&command, "hint", m->fixed.by_fragment);
    enum err e = mongo_read(m, &command, &reply);
    bson_destroy(&command);
    bson_destroy(pipeline);
    if (e)
        return e;
    looks_clear(looks, n);
    if (mongo_field(&reply, "cursor.firstBatch", &at) && bson_iter_recurse(&at, &batch))
        while (mongo_next(&batch, &group))
            add_look(looks, n, &group, "_id.job_id", "_id.log_type", number_of(&group, "count"),
                     number_of(&group, "last"));
    bson_destroy(&reply);
    return ERR_OK;
}

enum err mongo_logs_look(struct store *s, struct log_look *looks, size_t n)
{
    bool all = false;

    looks_clear(looks, n);
    enum err e = look_here(mongo_of(s), looks, n, &all);
    return e || all ? e : look_there(mongo_of(s), looks, n);
}

/* ---- reading ---- */

bool logs_piece(const bson_t *doc, struct log_piece *ret)
{
    bson_iter_t it;
    uint32_t len;

    if (!bson_iter_init_find(&it, doc, "phase") || !BSON_ITER_HOLDS_UTF8(&it))
        return false;
    const char *name = bson_iter_utf8(&it, &len);
    *ret = (struct log_piece){
        .phase = phase_of((struct text){name, len}
           ),
        .number = number_of(doc, "fragment_number"),
        .at_ms = mongo_date(doc, "timestamp"),
        .text = {"",   0  }
    };
    if (bson_iter_init_find(&it, doc, "log_data") && BSON_ITER_HOLDS_UTF8(&it)) {
        ret->text.s = bson_iter_utf8(&it, &len);
        ret->text.len = len;
    }
    return ret->phase >= 0;
}

/* Appends to a filter: the fragments of a log from a number on; phase -1: all. */
static void append_log(bson_t *filter, struct text job_id, enum output_type type, int phase,
                       int64_t start)
{
    bson_t child, list;
    char key[MONGO_INDEX_SIZE];

    mongo_append_text(filter, "job_id", job_id);
    BSON_APPEND_UTF8(filter, "log_type", log_type_names[type]);
    if (phase >= 0) {
        BSON_APPEND_UTF8(filter, "phase", phase_names[phase]);
    } else { /* all known ones: the server merges their ranges of the index in order */
        BSON_APPEND_DOCUMENT_BEGIN(filter, "phase", &child);
        BSON_APPEND_ARRAY_BEGIN(&child, "$in", &list);
        for (size_t i = 0; i < PHASE_COUNT; i++)
            BSON_APPEND_UTF8(&list, mongo_index(i, key), phase_names[i]);
        bson_append_array_end(&child, &list);
        bson_append_document_end(filter, &child);
    }
    BSON_APPEND_DOCUMENT_BEGIN(filter, "fragment_number", &child);
    mongo_append_int(&child, "$gte", start);
    bson_append_document_end(filter, &child);
}

enum err mongo_logs_numbers(struct store *s, struct log_numbers *n)
{
    struct mongo *m = mongo_of(s);
    bson_t filter = BSON_INITIALIZER, reply, doc;
    bson_t *sort = BCON_NEW("fragment_number", BCON_INT32(1));
    bson_t *projection = BCON_NEW("_id", BCON_BOOL(false), "phase", BCON_BOOL(true),
                                  "fragment_number", BCON_BOOL(true));
    struct mongo_query q = {.collection = LOGS,
                            .filter = &filter,
                            .projection = projection,
                            .sort = sort,
                            .hint = m->fixed.by_fragment,
                            .limit = LOG_NUMBERS_MAX};
    struct log_piece piece;
    bson_iter_t batch;
    size_t room = 64;

    append_log(&filter, n->job_id, n->type, -1, n->start);
    enum err e = mongo_find(m, &q, &reply, &batch);
    bson_destroy(&filter);
    bson_destroy(sort);
    bson_destroy(projection);
    if (e)
        return e;
    n->len = 0;
    n->numbers = mem_alloc(room * sizeof *n->numbers);
    while (mongo_next(&batch, &doc)) {
        if (!logs_piece(&doc, &piece))
            continue;
        if (n->len == room)
            n->numbers = mem_realloc(n->numbers, (room *= 2) * sizeof *n->numbers);
        n->numbers[n->len++] = (struct log_number){piece.phase, piece.number};
    }
    bson_destroy(&reply);
    return ERR_OK;
}

/* Where a read of several batches stands. */
struct place {
    int64_t number; /* of the last fragment */
    bson_oid_t seen[SEEN_MAX];
    size_t seen_len; /* of that number */
    bool fresh;      /* the batch had some that were not seen before */
    bool enough;     /* the taker wants no more */
};

/* Notes a fragment; false: it was given already. */
static bool is_fresh(struct place *p, const bson_t *doc, int64_t number)
{
    bson_iter_t it;

    if (number != p->number) {
        p->number = number;
        p->seen_len = 0;
    }
    if (!bson_iter_init_find(&it, doc, "_id") || !BSON_ITER_HOLDS_OID(&it))
        return true;
    for (size_t i = 0; i < p->seen_len; i++)
        if (bson_oid_equal(&p->seen[i], bson_iter_oid(&it)))
            return false;
    if (p->seen_len < SEEN_MAX)
        bson_oid_copy(bson_iter_oid(&it), &p->seen[p->seen_len++]);
    return true;
}

/* Gives one batch. *ret_more: there may be further ones. */
static enum err read_batch(struct mongo *m, const struct log_read *r, struct place *p,
                           bool *ret_more)
{
    bson_t filter = BSON_INITIALIZER, child, reply, doc;
    bson_t *sort = BCON_NEW("fragment_number", BCON_INT32(1));
    struct mongo_query q = {.collection = LOGS,
                            .filter = &filter,
                            .sort = sort,
                            .hint = m->fixed.by_fragment,
                            .limit = READ_MAX};
    struct log_piece piece;
    bson_iter_t batch;
    int n = 0;

    append_log(&filter, r->job_id, r->type, r->phase, p->number);
    if (r->since_ms != INT64_MIN) {
        BSON_APPEND_DOCUMENT_BEGIN(&filter, "timestamp", &child);
        BSON_APPEND_DATE_TIME(&child, "$gte", r->since_ms);
        bson_append_document_end(&filter, &child);
    }
    enum err e = mongo_find(m, &q, &reply, &batch);
    bson_destroy(&filter);
    bson_destroy(sort);
    if (e)
        return e;
    p->fresh = false;
    for (; !p->enough && mongo_next(&batch, &doc); n++) {
        if (!logs_piece(&doc, &piece) || !is_fresh(p, &doc, piece.number))
            continue;
        p->fresh = true;
        p->enough = !r->take(r->arg, &piece);
    }
    *ret_more = !p->enough && p->fresh && (n == READ_MAX || reply.len >= BATCH_NOT_FULL);
    if (p->seen_len == SEEN_MAX && p->number < INT64_MAX)
        *p = (struct place){.number = p->number + 1};
    bson_destroy(&reply);
    return ERR_OK;
}

enum err mongo_logs_read(struct store *s, const struct log_read *read)
{
    struct place p = {.number = read->start};
    bool more = true;
    enum err e = ERR_OK;

    while (!e && more)
        e = read_batch(mongo_of(s), read, &p, &more);
    return e;
}
