/* How many fragments a job has, and the last one: by the index alone, since each read of a result
 * asks for it. Other servers write fragments too, so a counter of ours would be wrong. A worker
 * remembers what it found in a large log, and only asks whether there are as many fragments still:
 * none ever changes. */
#include "worker/store/mongo/log_look.h"

#include "worker/store/mongo/db.h"

#include "common/mem.h"

#include <stdlib.h>

/* Entries of the index that a look fetches. */
#define LOOK_HERE_MAX 500

/* Fragments of a large log. */
#define LARGE 64

static bson_t *jobs_of(const struct log_look *looks, size_t n)
{
    bson_t list = BSON_INITIALIZER;

    for (size_t i = 0; i < n; i++)
        doc_put_at(&list, i, v_text(looks[i].job_id));
    bson_t *filter = doc_of("job_id: {$in: ?}", v_array(&list));
    bson_destroy(&list);
    return filter;
}

/* Adds fragments of a job and type, whose names stand at the paths. */
static void add_look(struct log_look *looks, size_t n, const bson_t *doc, const char *job_path,
                     const char *type_path, int64_t count, int64_t last)
{
    struct text job_id = doc_text(doc, job_path);

    for (int type = 0; job_id.s && last >= 0 && type < OUTPUT_TYPES; type++) {
        if (!doc_text_is(doc, type_path, output_type_names[type]))
            continue;
        for (size_t i = 0; i < n; i++)
            if (text_equal(job_id, looks[i].job_id)) {
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

/* Counts the index entries here, which takes half as long as grouping by the server. Those with a
 * number below 0 are passed over here, since a range at the index's end costs a seek per phase.
 * *ret_all false: there are more. */
static enum err look_here(struct mongo *m, struct log_look *looks, size_t n, bool *ret_all)
{
    struct db_found f;
    int found = 0;
    enum err e = DB_FIND(m, &f, .collection = LOGS, .filter = jobs_of(looks, n),
                         .fields = "_id: false, job_id: true, log_type: true, fragment_number: "
                                   "true",
                         .index = IX_FRAGMENT, .limit = LOOK_HERE_MAX);

    for (; !e && db_next(&f); found++)
        add_look(looks, n, &f.doc, "job_id", "log_type", 1, doc_int(&f.doc, "fragment_number", -1));
    *ret_all = found < LOOK_HERE_MAX;
    db_end(&f);
    return e;
}

/* Lets the server count. */
static enum err look_there(struct mongo *m, struct log_look *looks, size_t n)
{
    struct db_found f;
    enum err e = db_aggregate(m, LOGS,
                              doc_of("[{$match: {?, fragment_number: {$gte: 0}}}, {$group: {_id: "
                                     "{job_id: '$job_id', log_type: '$log_type'}, count: "
                                     "{$sum: 1}, last: {$max: '$fragment_number'}}}]",
                                     v_own(jobs_of(looks, n))),
                              IX_FRAGMENT, &f);

    if (e)
        return e;
    looks_clear(looks, n);
    while (db_next(&f))
        add_look(looks, n, &f.doc, "_id.job_id", "_id.log_type", doc_int(&f.doc, "count", 0),
                 doc_int(&f.doc, "last", 0));
    db_end(&f);
    return ERR_OK;
}

/* ---- large logs ---- */

static struct log_known *known_at(struct mongo *m, struct text job_id, uint64_t *ret_hash)
{
    *ret_hash = fnv_add_text(FNV_START, job_id);
    return &m->logs[*ret_hash % LOGS_KNOWN];
}

/* Counts all fragments of a job, those that are never read, too. */
static enum err count(struct mongo *m, struct text job_id, int64_t *ret)
{
    bson_t reply;
    enum err e = db_read(m,
                         doc_of("count: ?, query: {job_id: ?}, hint: ?", v_str(LOGS),
                                v_text(job_id), v_own(doc_of(index_keys(IX_FRAGMENT)))),
                         &reply);

    if (e)
        return e;
    *ret = doc_int(&reply, "n", 0);
    bson_destroy(&reply);
    return ERR_OK;
}

static enum err look_large(struct mongo *m, struct log_known *k, struct log_look *look)
{
    int64_t total = 0;
    enum err e = count(m, look->job_id, &total);

    if (!e && total == k->total) {
        memcpy(look->types, k->types, sizeof k->types);
        return ERR_OK;
    }
    if (!e)
        e = look_there(m, look, 1);
    if (!e) {
        k->total = total; /* counted before: one that came in between is seen at the next look */
        memcpy(k->types, look->types, sizeof k->types);
    }
    return e;
}

/* Remembers a log that is large; its fragments are counted at the next look. */
static void note(struct mongo *m, const struct log_look *look)
{
    uint64_t hash;
    struct log_known *k = known_at(m, look->job_id, &hash);
    int64_t n = 0;

    for (int type = 0; type < OUTPUT_TYPES; type++)
        n += look->types[type].count;
    if (n >= LARGE)
        *k = (struct log_known){.hash = hash, .total = -1};
}

static enum err look_small(struct mongo *m, struct log_look *looks, size_t n)
{
    bool all = false;
    enum err e = look_here(m, looks, n, &all);

    if (!e && !all)
        e = look_there(m, looks, n);
    for (size_t i = 0; !e && i < n; i++)
        note(m, &looks[i]);
    return e;
}

enum err log_look(struct mongo *m, struct log_look *looks, size_t n)
{
    struct log_look *small = mem_alloc(n * sizeof *small);
    size_t *at = mem_alloc(n * sizeof *at), len = 0;
    enum err e = ERR_OK;
    uint64_t hash;

    looks_clear(looks, n);
    for (size_t i = 0; !e && i < n; i++) {
        struct log_known *k = known_at(m, looks[i].job_id, &hash);
        if (k->hash == hash) {
            e = look_large(m, k, &looks[i]);
        } else {
            at[len] = i;
            small[len++] = looks[i];
        }
    }
    if (!e && len)
        e = look_small(m, small, len);
    for (size_t i = 0; !e && i < len; i++)
        looks[at[i]] = small[i];
    free(small);
    free(at);
    return e;
}
