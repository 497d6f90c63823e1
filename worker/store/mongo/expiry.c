/* Expiry. Each step reads the next few documents of a collection by age, finds which belong to
 * active jobs, and removes the others if they did not change since. */
#include "worker/store/mongo/job.h"

#include "worker/jobs/states.h"
#include "worker/store/mongo/files.h"

#include <stdio.h>

/* What is read of jobs, and of what names one. */
#define JOB_FIELDS  "created_at: true, job_id: true, " STATE_PATH ": true, history: {$slice: -1}"
#define POST_FIELDS "updated_at: true, job_id: true"
#define FILE_FIELDS "uploadDate: true, filename: true"

static const struct source {
    enum expiry_kind kind;
    const char *collection;
    const char *age;    /* the field that tells it */
    const char *job;    /* the field that names a job; NULL: none */
    const char *fields; /* to read */
    bool file;          /* `job` is the name of a file, which begins with a job id */
    bool grows;         /* all documents of a job are as young as the youngest */
} sources[EXPIRY_KINDS] = {
    {EXPIRY_JOBS, JOBS, "created_at", NULL, JOB_FIELDS, false, false},
    {EXPIRY_OUTPUT, OUTPUT, "updated_at", "job_id", POST_FIELDS, false, true},
    {EXPIRY_SERIAL, SERIAL, "updated_at", "job_id", POST_FIELDS, false, true},
    {EXPIRY_LOGS, LOGS, "updated_at", "job_id", POST_FIELDS, false, false},
    {EXPIRY_FILES, FILES, "uploadDate", "filename", FILE_FIELDS, true, false},
    {EXPIRY_AGENTS, AGENTS, "updated_at", "job_id", POST_FIELDS, false, false},
    {EXPIRY_QUEUES, QUEUES, "updated_at", NULL, "updated_at: true", false, false},
    {EXPIRY_KEYS, KEYS, "at", NULL, "at: true", false, false},
};

/* Several documents of one job id: other servers made one for each resubmission. */
#define SAME_IDS_MAX 20

/* The documents of a step; they point into the query's result. */
struct look {
    struct db_found found;
    bson_t docs[SWEEP_MAX]; /* views */
    size_t len;
    json_t *stay; /* object: by the id of a job, whether its documents stay */
    struct db_batch drop;
};

/* ---- which jobs are active ---- */

static struct text job_of(const struct source *src, const bson_t *doc)
{
    struct text id = src->job ? doc_text(doc, src->job) : (struct text){0};

    while (src->file && id.len && id.s[id.len] != '.')
        id.len--;
    return id;
}

static bool stays(const struct look *l, struct text job_id)
{
    return job_id.s && json_is_true(json_object_getn(l->stay, job_id.s, job_id.len));
}

/* Collects the job ids of a query's documents. */
static enum err note(struct mongo *m, struct db_query q, struct look *l)
{
    struct db_found f;

    q.fields = "job_id: true, _id: false";
    enum err e = db_find(m, &q, &f);
    while (!e && db_next(&f)) {
        struct text id = doc_text(&f.doc, "job_id");
        if (id.s)
            json_object_setn_new_nocheck(l->stay, id.s, id.len, json_true());
    }
    db_end(&f);
    return e;
}

static enum err note_active(struct mongo *m, const struct source *src, struct look *l)
{
    bson_t list = BSON_INITIALIZER;
    enum err e = ERR_OK;
    size_t n = 0;

    for (size_t i = 0; i < l->len; i++) {
        struct text id = job_of(src, &l->docs[i]);
        if (id.len)
            doc_put_at(&list, n++, v_text(id));
    }
    if (n)
        e = note(
            m,
            (struct db_query){.collection = JOBS,
                              .filter = doc_of("job_id: {$in: ?}, " STATE_PATH ": {$nin: ?}",
                                               v_array(&list), v_strs(states_over(), SIZE_MAX)),
                              .index = IX_JOB_ID,
                              .limit = SAME_IDS_MAX * SWEEP_MAX},
            l);
    bson_destroy(&list);
    return e;
}

/* Whether a job has a younger document: the newest of ours, which are in the order of the index, or
 * any that others made, which may grow. *ret is as it was where there is none. */
static enum err look_for_younger(struct mongo *m, const struct source *src, struct text id,
                                 int64_t before_ms, bool *ret)
{
    struct db_found f;
    enum err e =
        DB_FIRST(m, &f, .collection = src->collection,
                 .filter = doc_of("job_id: ?, by: null", v_text(id)), .fields = src->fields,
                 .sort = "job_id: -1, by: -1, order: -1", .index = IX_OUTPUT, .limit = 1);

    if (!e && doc_date(&f.doc, src->age) >= before_ms) {
        *ret = true;
    } else if (!e) {
        db_end(&f);
        e = DB_FIRST(m, &f, .collection = src->collection,
                     .filter = doc_of("job_id: ?, by: null, order: null, ?: {$gte: ?}", v_text(id),
                                      v_str(src->age), v_date(before_ms)),
                     .fields = "_id: true", .index = IX_OUTPUT, .limit = 1);
        *ret = *ret || !e;
    }
    db_end(&f);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/* Asks once for each job of the step: one may have many documents. */
static enum err note_grown(struct mongo *m, const struct source *src, struct look *l,
                           int64_t before_ms)
{
    enum err e = ERR_OK;

    for (size_t i = 0; !e && i < l->len; i++) {
        struct text id = job_of(src, &l->docs[i]);
        bool younger = false;
        if (!id.s || json_object_getn(l->stay, id.s, id.len))
            continue;
        e = look_for_younger(m, src, id, before_ms, &younger);
        json_object_setn_new_nocheck(l->stay, id.s, id.len, json_boolean(younger));
    }
    return e;
}

/* ---- reading ---- */

/* The documents from the walk's place on, without those already seen. */
static enum err look(struct mongo *m, const struct source *src, const struct expiry *x,
                     struct look *l)
{
    char sort[32];
    size_t seen = 0;

    snprintf(sort, sizeof sort, "%s: 1", src->age);
    enum err e = DB_FIND(m, &l->found, .collection = src->collection,
                         .filter = doc_of("?: {$gte: ?, $lt: ?}", v_str(src->age),
                                          v_date(x->from_ms), v_date(expiry_end_ms(x))),
                         .fields = src->fields, .sort = sort, .limit = (int)(x->kept + SWEEP_MAX));

    while (!e && l->len < SWEEP_MAX && bson_iter_next(&l->found.batch) &&
           doc_view(&l->found.batch, &l->docs[l->len]))
        l->len += seen++ >= x->kept;
    return e;
}

/* ---- removing ---- */

/* Matches the document only if it did not change since the read. */
static bson_t *as_read(const struct source *src, const bson_t *doc)
{
    return doc_of("_id: ?, ?: ?, ?", v_field(doc, "_id"), v_str(src->age), v_field(doc, src->age),
                  src->kind == EXPIRY_JOBS
                      ? v_own(doc_of(STATE_PATH ": ?", v_field(doc, STATE_PATH)))
                      : v_none());
}

static enum job_fate fate_of(const struct look *l, const bson_t *doc, const struct expiry *x)
{
    const char *state = doc_str(doc, STATE_PATH);

    if (x->kind == EXPIRY_JOBS)
        return job_fate(&(struct job_age){state ? state : "", doc_date(doc, "created_at"),
                                          doc_date(doc, "history.0.at")},
                        &x->limits);
    return stays(l, job_of(&sources[x->kind], doc)) ? JOB_STAYS : JOB_GOES;
}

static enum err end_one(struct mongo *m, struct look *l, const bson_t *doc, struct expiry *x)
{
    const struct source *src = &sources[x->kind];
    enum job_fate fate = fate_of(l, doc, x);
    enum err e = ERR_OK;

    if (fate == JOB_IS_CANCELLED) {
        e = db_set(m, JOBS, as_read(src, doc), job_ended(m, EXPIRY_REASON));
        if (!e)
            expiry_cancelled(x, doc_text(doc, "job_id"));
    } else if (fate == JOB_GOES && src->file) {
        e = files_give_way(m, doc);
        x->removed++;
    } else if (fate == JOB_GOES) {
        db_add_delete(&l->drop, as_read(src, doc), false);
    }
    expiry_passed(x, doc_date(doc, src->age), fate != JOB_GOES);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err mongo_expire(struct store *s, struct expiry *x)
{
    struct mongo *m = mongo_of(s);
    const struct source *src = &sources[x->kind];
    struct look l = {.stay = json_object(), .drop = DB_BATCH(src->collection)};
    enum err e = look(m, src, x, &l);

    x->removed = x->cancelled = 0;
    l.drop.unordered = true;
    if (!e && l.len && src->job)
        e = note_active(m, src, &l);
    if (!e && l.len && src->grows)
        e = note_grown(m, src, &l, x->limits.before_ms);
    for (size_t i = 0; !e && i < l.len; i++)
        e = end_one(m, &l, &l.docs[i], x);
    size_t drops = l.drop.n;
    if (!e)
        e = db_run(m, &l.drop, NULL);
    x->removed += e ? 0 : drops;
    x->more = l.len == SWEEP_MAX;
    db_drop(&l.drop);
    db_end(&l.found);
    json_decref(l.stay);
    return e;
}
