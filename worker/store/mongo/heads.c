#include "worker/store/mongo/heads.h"

#include "common/clock.h"

bson_t *heads_of_state(const struct claim *c, const char *state)
{
    return doc_of(STATE_PATH ": ?, job_data.job_queue: ?", v_str(state),
                  c->queues_len == 1 ? v_text(c->queues[0])
                                     : v_own(doc_of("$in: ?", v_texts(c->queues, c->queues_len))));
}

bson_t *heads_fitting(const struct claim *c)
{
    return doc_of("job_data.attachments_status: {$in: [null, 'complete']}, "
                  "job_data.exclude_agents: ?, job_data.test_data.secrets: ?",
                  c->agent.s ? v_own(doc_of("$ne: ?", v_text(c->agent))) : v_none(),
                  c->no_secrets ? v_own(doc_of("$exists: false")) : v_none());
}

/* ---- queues in which many jobs cannot be handed out ---- */

static uint64_t queues_key(const struct claim *c)
{
    return looks_key(c->queues, c->queues_len, (struct text){NULL, 0});
}

bool heads_are_many(const struct mongo *m, const struct claim *c)
{
    return looks_noted(&m->looks, queues_key(c), clock_mono_ms());
}

/* ---- a look ---- */

struct search {
    struct mongo *m;
    const struct claim *claim;
    bson_t *found; /* {_id} */
};

/* Jobs at or after this place in the order. Includes those of the same millisecond again. */
static bson_t *behind(const struct job_place *from)
{
    if (from->priority == JOB_PLACE_LAST)
        return doc_of("$or: [{job_priority: null, created_at: {$gte: ?}}]", v_date(from->created));
    return doc_of("$or: [{job_priority: ?, created_at: {$gte: ?}}, {job_priority: {$lt: ?}}, "
                  "{job_priority: null}]",
                  v_int64(from->priority), v_date(from->created), v_int64(from->priority));
}

/* Finds a job after `from` (NULL: from the first): the first of LOOK_JOBS that may be handed out
 * or, with `last`, the last of them. ERR_NOT_FOUND. */
static enum err find(const struct search *s, const struct job_place *from, bool last,
                     struct db_found *ret)
{
    struct doc_value begin = from ? v_own(behind(from)) : v_none();
    bson_t *pipeline =
        last ? doc_of("[{$match: {?, ?}}, {$sort: {" CLAIM_ORDER "}}, {$skip: ?}, {$limit: 1}, "
                      "{$project: {job_priority: true, created_at: true}}]",
                      v_own(heads_of_state(s->claim, "waiting")), begin, v_int(LOOK_JOBS - 1))
             : doc_of("[{$match: {?, ?}}, {$sort: {" CLAIM_ORDER "}}, {$limit: ?}, {$match: ?}, "
                      "{$limit: 1}, {$project: {_id: true}}]",
                      v_own(heads_of_state(s->claim, "waiting")), begin, v_int(LOOK_JOBS),
                      v_own(heads_fitting(s->claim)));
    enum err e = db_aggregate(s->m, JOBS, pipeline, IX_WAITING, ret);

    if (e || db_next(ret))
        return e;
    db_end(ret);
    return ERR_NOT_FOUND;
}

static enum err look(void *arg, const struct job_place *from, struct job_place *last)
{
    struct search *s = arg;
    struct db_found f;
    enum err e = find(s, from, false, &f);

    if (!e) {
        s->found = doc_of("_id: ?", v_field(&f.doc, "_id"));
        db_end(&f);
    }
    if (e != ERR_NOT_FOUND || (e = find(s, from, true, &f)))
        return e;
    *last = (struct job_place){.priority = doc_int(&f.doc, "job_priority", JOB_PLACE_LAST),
                               .created = doc_date(&f.doc, "created_at")};
    db_end(&f);
    looks_note(&s->m->looks, queues_key(s->claim), clock_mono_ms());
    return ERR_FULL;
}

void heads_check(struct mongo *m, const struct claim *c)
{
    struct search s = {.m = m, .claim = c};
    struct job_place last;

    if (look(&s, NULL, &last) == ERR_OK)
        bson_destroy(s.found);
}

enum err heads_find(struct mongo *m, const struct claim *c, bson_t **ret)
{
    struct search s = {.m = m, .claim = c};
    uint64_t key = looks_key(c->queues, c->queues_len, c->agent);
    enum err e = looks_find(&m->looks, key, clock_mono_ms(), look, &s);

    if (!e)
        *ret = s.found;
    return e;
}
