/* What has outlived its time. Each step reads the next few documents of a collection by age, looks
 * which of them belong to active jobs, and removes the others, provided that they are still as old
 * as they were read. */
#include "worker/store/mongo/mongo.h"

#include "common/clock.h"
#include "common/mem.h"
#include "worker/jobs/states.h"
#include "worker/store/mongo/gridfs.h"

#include <stdlib.h>
#include <string.h>

static const struct source {
    enum expiry_kind kind;
    const char *collection;
    const char *age; /* the field that tells it */
    const char *job; /* the field that names a job; NULL: none */
    bool file;       /* that field is the name of a file, which begins with a job id */
    bool grows;      /* all documents of a job are as young as the youngest */
} sources[EXPIRY_KINDS] = {
    {EXPIRY_JOBS,   JOBS,   "created_at", NULL,       false, false},
    {EXPIRY_OUTPUT, OUTPUT, "updated_at", "job_id",   false, true },
    {EXPIRY_SERIAL, SERIAL, "updated_at", "job_id",   false, true },
    {EXPIRY_LOGS,   LOGS,   "updated_at", "job_id",   false, false},
    {EXPIRY_FILES,  FILES,  "uploadDate", "filename", true,  false},
    {EXPIRY_AGENTS, AGENTS, "updated_at", "job_id",   false, false},
    {EXPIRY_QUEUES, QUEUES, "updated_at", NULL,       false, false},
    {EXPIRY_KEYS,   KEYS,   "at",         NULL,       false, false},
};

/* Documents that other servers made of one job id, when each resubmission made one. */
#define SAME_IDS_MAX 20

/* What a step has read. The documents point into the reply. */
struct look {
    bson_t reply;
    bson_t *docs; /* array of views */
    size_t len;
    json_t *stay; /* object: ids of jobs whose documents stay */
    bson_t drop;  /* array of deletes */
    size_t drop_len;
};

/* ---- which jobs are active ---- */

/* The text of a field; s NULL: it has none. */
static struct text text_of(const bson_t *doc, const char *field)
{
    struct text t = {0};
    bson_iter_t it;
    uint32_t len;

    if (mongo_field(doc, field, &it) && BSON_ITER_HOLDS_UTF8(&it)) {
        t.s = bson_iter_utf8(&it, &len);
        t.len = len;
    }
    return t;
}

static struct text job_of(const struct source *src, const bson_t *doc)
{
    struct text id = src->job ? text_of(doc, src->job) : (struct text){0};

    while (src->file && id.len && id.s[id.len] != '.')
        id.len--;
    return id;
}

static bool stays(const struct look *l, struct text job_id)
{
    return job_id.s && json_object_getn(l->stay, job_id.s, job_id.len);
}

/* {job_id: {$in: [those of the documents]}}; false: there are none. */
static bool append_jobs(bson_t *filter, const struct source *src, const struct look *l)
{
    char key[MONGO_INDEX_SIZE];
    bson_t in, list;
    size_t n = 0;

    BSON_APPEND_DOCUMENT_BEGIN(filter, "job_id", &in);
    BSON_APPEND_ARRAY_BEGIN(&in, "$in", &list);
    for (size_t i = 0; i < l->len; i++) {
        struct text id = job_of(src, &l->docs[i]);
        if (id.len)
            mongo_append_text(&list, mongo_index(n++, key), id);
    }
    bson_append_array_end(&in, &list);
    bson_append_document_end(filter, &in);
    return n > 0;
}

/* Notes the job ids of what a query finds. */
static enum err note(struct mongo *m, const char *collection, const bson_t *filter,
                     const bson_t *hint, int limit, struct look *l)
{
    bson_t projection = BSON_INITIALIZER, reply, doc;
    bson_iter_t batch, it;
    struct mongo_query q = {.collection = collection,
                            .filter = filter,
                            .projection = &projection,
                            .hint = hint,
                            .limit = limit};
    uint32_t len;

    BSON_APPEND_BOOL(&projection, "job_id", true);
    BSON_APPEND_BOOL(&projection, "_id", false);
    enum err e = mongo_find(m, &q, &reply, &batch);
    bson_destroy(&projection);
    if (e)
        return e;
    while (mongo_next(&batch, &doc))
        if (mongo_field(&doc, "job_id", &it) && BSON_ITER_HOLDS_UTF8(&it)) {
            const char *id = bson_iter_utf8(&it, &len);
            json_object_setn_new_nocheck(l->stay, id, len, json_true());
        }
    bson_destroy(&reply);
    return ERR_OK;
}

static enum err note_active(struct mongo *m, const struct source *src, struct look *l)
{
    bson_t filter = BSON_INITIALIZER, nin, list;
    const char *const *over = states_over();
    char key[MONGO_INDEX_SIZE];
    enum err e = ERR_OK;

    if (append_jobs(&filter, src, l)) {
        BSON_APPEND_DOCUMENT_BEGIN(&filter, STATE_PATH, &nin);
        BSON_APPEND_ARRAY_BEGIN(&nin, "$nin", &list);
        for (size_t i = 0; over[i]; i++)
            BSON_APPEND_UTF8(&list, mongo_index(i, key), over[i]);
        bson_append_array_end(&nin, &list);
        bson_append_document_end(&filter, &nin);
        e = note(m, JOBS, &filter, m->fixed.by_job_id, SAME_IDS_MAX * SWEEP_MAX, l);
    }
    bson_destroy(&filter);
    return e;
}

/* Jobs that have a document of this collection that is younger. */
static enum err note_grown(struct mongo *m, const struct source *src, struct look *l,
                           int64_t before_ms)
{
    enum err e = ERR_OK;

    for (size_t i = 0; !e && i < l->len; i++) {
        bson_t filter = BSON_INITIALIZER, range;
        struct text id = job_of(src, &l->docs[i]);
        if (!id.s || stays(l, id))
            continue;
        mongo_append_text(&filter, "job_id", id);
        BSON_APPEND_DOCUMENT_BEGIN(&filter, src->age, &range);
        BSON_APPEND_DATE_TIME(&range, "$gte", before_ms);
        bson_append_document_end(&filter, &range);
        e = note(m, src->collection, &filter, m->fixed.by_output, 1, l);
        bson_destroy(&filter);
    }
    return e;
}

/* ---- reading ---- */

static void append_fields(bson_t *projection, const struct source *src)
{
    bson_t slice;

    BSON_APPEND_BOOL(projection, src->age, true);
    if (src->job)
        BSON_APPEND_BOOL(projection, src->job, true);
    if (strcmp(src->collection, JOBS) == 0) {
        BSON_APPEND_BOOL(projection, STATE_PATH, true);
        BSON_APPEND_BOOL(projection, "job_id", true);
        BSON_APPEND_DOCUMENT_BEGIN(projection, "history", &slice);
        BSON_APPEND_INT32(&slice, "$slice", -1);
        bson_append_document_end(projection, &slice);
    }
}

/* The documents from the walk's place on, those that were seen already left out. */
static enum err look(struct mongo *m, const struct source *src, const struct expiry *x,
                     struct look *l)
{
    bson_t filter = BSON_INITIALIZER, projection = BSON_INITIALIZER, sort = BSON_INITIALIZER, range;
    size_t limit = x->kept + SWEEP_MAX;
    struct mongo_query q = {.collection = src->collection,
                            .filter = &filter,
                            .projection = &projection,
                            .sort = &sort,
                            .limit = (int)limit};
    bson_iter_t batch;
    size_t seen = 0;

    BSON_APPEND_DOCUMENT_BEGIN(&filter, src->age, &range);
    BSON_APPEND_DATE_TIME(&range, "$gte", x->from_ms);
    BSON_APPEND_DATE_TIME(&range, "$lt", expiry_end_ms(x));
    bson_append_document_end(&filter, &range);
    append_fields(&projection, src);
    BSON_APPEND_INT32(&sort, src->age, 1);
    enum err e = mongo_find(m, &q, &l->reply, &batch);
    bson_destroy(&filter);
    bson_destroy(&projection);
    bson_destroy(&sort);
    if (e)
        return e;
    l->docs = mem_alloc(SWEEP_MAX * sizeof *l->docs);
    while (l->len < SWEEP_MAX && mongo_next(&batch, &l->docs[l->len]))
        l->len += seen++ >= x->kept;
    l->stay = json_object();
    bson_init(&l->drop);
    return ERR_OK;
}

static void look_done(struct look *l)
{
    bson_destroy(&l->reply);
    bson_destroy(&l->drop);
    json_decref(l->stay);
    free(l->docs);
}

/* ---- removing ---- */

/* The document as it was read: whoever changed it meanwhile has it. */
static void append_same(bson_t *filter, const struct source *src, const bson_t *doc)
{
    mongo_append_as_read(filter, "_id", doc, "_id");
    mongo_append_as_read(filter, src->age, doc, src->age);
    if (strcmp(src->collection, JOBS) == 0)
        mongo_append_as_read(filter, STATE_PATH, doc, STATE_PATH);
}

/* Appends the statement that deletes it. */
static void append_delete(struct look *l, const struct source *src, const bson_t *doc)
{
    char key[MONGO_INDEX_SIZE];
    bson_t statement, filter;

    BSON_APPEND_DOCUMENT_BEGIN(&l->drop, mongo_index(l->drop_len, key), &statement);
    l->drop_len++;
    BSON_APPEND_DOCUMENT_BEGIN(&statement, "q", &filter);
    append_same(&filter, src, doc);
    bson_append_document_end(&statement, &filter);
    BSON_APPEND_INT32(&statement, "limit", 1);
    bson_append_document_end(&l->drop, &statement);
}

static enum err run_deletes(struct mongo *m, const struct source *src, const struct look *l)
{
    bson_t command = BSON_INITIALIZER;
    enum err e = ERR_OK;

    BSON_APPEND_UTF8(&command, "delete", src->collection);
    BSON_APPEND_BOOL(&command, "ordered", false);
    BSON_APPEND_ARRAY(&command, "deletes", &l->drop);
    if (l->drop_len)
        e = mongo_write_all(m, &command, NULL, NULL);
    bson_destroy(&command);
    return e;
}

/* ---- jobs ---- */

/* When the job came to the state it is in, its creation when that is not known. */
static int64_t since_ms(const bson_t *job)
{
    int64_t at = mongo_date(job, "history.0.at");

    return at ? at : mongo_date(job, "created_at");
}

/* Cancels a job that waits. ERR_NOT_FOUND: it does not any more. */
static enum err cancel(struct mongo *m, const bson_t *job)
{
    bson_t filter = BSON_INITIALIZER, update = BSON_INITIALIZER, set;
    struct mongo_change change = {.filter = &filter, .update = &update};
    struct mongo_changed done = {0};

    append_same(&filter, &sources[EXPIRY_JOBS], job);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set);
    BSON_APPEND_UTF8(&set, STATE_PATH, "cancelled");
    BSON_APPEND_UTF8(&set, "result_data." END_REASON, EXPIRY_REASON);
    bson_append_document_end(&update, &set);
    mongo_history_push(&update, "cancelled", clock_wall_us() / 1000, EXPIRY_REASON);
    enum err e = mongo_update(m, JOBS, &change, &done);
    bson_destroy(&filter);
    bson_destroy(&update);
    return e || done.matched ? e : ERR_NOT_FOUND;
}

/* *ret_stays: the job is there afterwards. */
static enum err end_job(struct mongo *m, struct look *l, const bson_t *job, struct expiry *x,
                        bool *ret_stays)
{
    bson_iter_t it;
    bool has_state = mongo_field(job, STATE_PATH, &it) && BSON_ITER_HOLDS_UTF8(&it);
    const char *state = has_state ? bson_iter_utf8(&it, NULL) : "";
    int64_t created_ms = mongo_date(job, "created_at");
    enum err e = ERR_OK;

    if (state_is_over(state) && created_ms < x->before_ms && since_ms(job) < x->ended_before_ms) {
        append_delete(l, &sources[EXPIRY_JOBS], job);
        return ERR_OK;
    }
    *ret_stays = true;
    if (strcmp(state, "waiting") == 0 && created_ms < x->waiting_before_ms) {
        e = cancel(m, job);
        if (!e)
            expiry_cancelled(x, text_of(job, "job_id"));
    }
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/* ---- steps ---- */

static enum err end_one(struct mongo *m, struct look *l, const bson_t *doc, struct expiry *x,
                        bool *ret_stays)
{
    const struct source *src = &sources[x->kind];

    *ret_stays = false;
    if (x->kind == EXPIRY_JOBS)
        return end_job(m, l, doc, x, ret_stays);
    *ret_stays = stays(l, job_of(src, doc));
    if (*ret_stays)
        return ERR_OK;
    x->removed += src->file;
    if (src->file)
        return gridfs_give_way(m, doc);
    append_delete(l, src, doc);
    return ERR_OK;
}

/* Moves the walk's place behind a document. */
static void pass(struct expiry *x, const bson_t *doc, bool stays)
{
    int64_t at = mongo_date(doc, sources[x->kind].age);

    if (at > x->from_ms) {
        x->from_ms = at;
        x->kept = 0;
    }
    x->kept += stays;
}

enum err mongo_expire(struct store *s, struct expiry *x)
{
    struct mongo *m = mongo_of(s);
    const struct source *src = &sources[x->kind];
    struct look l = {.len = 0};
    enum err e = look(m, src, x, &l);

    x->removed = x->cancelled = 0;
    if (e)
        return e;
    if (l.len && src->job)
        e = note_active(m, src, &l);
    if (!e && l.len && src->grows)
        e = note_grown(m, src, &l, x->before_ms);
    for (size_t i = 0; !e && i < l.len; i++) {
        bool stay;
        e = end_one(m, &l, &l.docs[i], x, &stay);
        pass(x, &l.docs[i], stay);
    }
    if (!e)
        e = run_deletes(m, src, &l);
    x->removed += e ? 0 : l.drop_len;
    x->more = l.len == SWEEP_MAX;
    look_done(&l);
    return e;
}
