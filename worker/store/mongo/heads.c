/* Claims of agents that many jobs exclude: what is looked at is bounded. */
#include "worker/store/mongo/claim.h"

#include "common/clock.h"

enum {
    LOOK_MAX = 1000,     /* jobs in one look */
    MANY_FOR_MS = 300000 /* after a claim that took long, or another look without an end */
};

/* ---- what is remembered ---- */

static uint64_t queues_key(const struct claim *c)
{
    uint64_t h = FNV_START;

    for (size_t i = 0; i < c->queues_len; i++)
        h = fnv_add_text(h, c->queues[i]);
    return h | 1;
}

static size_t place_of(uint64_t key)
{
    return (size_t)((key >> 32) % MONGO_LOOKS);
}

bool heads_are_many(const struct mongo *m, const struct claim *c)
{
    uint64_t key = queues_key(c);
    const struct mongo_look *look = &m->looks[place_of(key)];

    return look->key == key && clock_mono_ms() < look->until_ms;
}

void heads_note(struct mongo *m, const struct claim *c)
{
    uint64_t key = queues_key(c);

    m->looks[place_of(key)] =
        (struct mongo_look){.key = key, .until_ms = clock_mono_ms() + MANY_FOR_MS};
}

static struct mongo_look *look_of(struct mongo *m, const struct claim *c)
{
    uint64_t key = fnv_add_text(queues_key(c), c->agent) | 1;
    struct mongo_look *look = &m->looks[place_of(key)];

    if (look->key != key)
        *look = (struct mongo_look){.key = key};
    return look;
}

/* ---- one look ---- */

/* Jobs from this place in the order on. Those of the same millisecond come again. A job without a
 * priority, of another server, comes last. */
static void append_after(bson_t *filter, const struct mongo_look *from)
{
    bson_t any, one, than;

    BSON_APPEND_ARRAY_BEGIN(filter, "$or", &any);
    BSON_APPEND_DOCUMENT_BEGIN(&any, "0", &one);
    if (from->has_priority)
        BSON_APPEND_INT64(&one, "job_priority", from->priority);
    else
        BSON_APPEND_NULL(&one, "job_priority");
    BSON_APPEND_DOCUMENT_BEGIN(&one, "created_at", &than);
    BSON_APPEND_DATE_TIME(&than, "$gte", from->created_ms);
    bson_append_document_end(&one, &than);
    bson_append_document_end(&any, &one);
    if (from->has_priority) {
        BSON_APPEND_DOCUMENT_BEGIN(&any, "1", &one);
        BSON_APPEND_DOCUMENT_BEGIN(&one, "job_priority", &than);
        BSON_APPEND_INT64(&than, "$lt", from->priority);
        bson_append_document_end(&one, &than);
        bson_append_document_end(&any, &one);
        BSON_APPEND_DOCUMENT_BEGIN(&any, "2", &one);
        BSON_APPEND_NULL(&one, "job_priority");
        bson_append_document_end(&any, &one);
    }
    bson_append_array_end(filter, &any);
}

static void stage_int(bson_t *stages, const char *at, const char *name, int value)
{
    bson_t stage;

    BSON_APPEND_DOCUMENT_BEGIN(stages, at, &stage);
    BSON_APPEND_INT32(&stage, name, value);
    bson_append_document_end(stages, &stage);
}

/* The jobs of a look, in their order, from `from` on (NULL: the first). */
static void append_jobs(bson_t *stages, const struct mongo *m, const struct claim *c,
                        const struct mongo_look *from)
{
    bson_t stage, child;

    BSON_APPEND_DOCUMENT_BEGIN(stages, "0", &stage);
    BSON_APPEND_DOCUMENT_BEGIN(&stage, "$match", &child);
    claims_filter(&child, c, false);
    if (from)
        append_after(&child, from);
    bson_append_document_end(&stage, &child);
    bson_append_document_end(stages, &stage);
    BSON_APPEND_DOCUMENT_BEGIN(stages, "1", &stage);
    BSON_APPEND_DOCUMENT(&stage, "$sort", m->fixed.claim_order);
    bson_append_document_end(stages, &stage);
}

/* Of them the first that does not exclude the agent. */
static void append_choice(bson_t *stages, const struct claim *c)
{
    bson_t stage, child, list;

    stage_int(stages, "2", "$limit", LOOK_MAX);
    BSON_APPEND_DOCUMENT_BEGIN(stages, "3", &stage);
    BSON_APPEND_DOCUMENT_BEGIN(&stage, "$match", &child);
    BSON_APPEND_DOCUMENT_BEGIN(&child, "job_data.exclude_agents", &list);
    mongo_append_text(&list, "$ne", c->agent);
    bson_append_document_end(&child, &list);
    bson_append_document_end(&stage, &child);
    bson_append_document_end(stages, &stage);
}

/* Of them the last. */
static void append_last(bson_t *stages)
{
    stage_int(stages, "2", "$skip", LOOK_MAX - 1);
    stage_int(stages, "3", "$limit", 1);
}

/* The one job that is chosen; ERR_NOT_FOUND. *ret_job is a view of *ret_reply, which the caller
 * destroys unless there is an error. */
static enum err look_for(struct mongo *m, const struct claim *c, const struct mongo_look *from,
                         bool last, bson_t *ret_reply, bson_t *ret_job)
{
    bson_t command = BSON_INITIALIZER, stages, stage, child;
    bson_iter_t it, batch;

    BSON_APPEND_UTF8(&command, "aggregate", JOBS);
    BSON_APPEND_ARRAY_BEGIN(&command, "pipeline", &stages);
    append_jobs(&stages, m, c, from);
    if (last)
        append_last(&stages);
    else
        append_choice(&stages, c);
    stage_int(&stages, "4", "$limit", 1);
    BSON_APPEND_DOCUMENT_BEGIN(&stages, "5", &stage);
    BSON_APPEND_DOCUMENT_BEGIN(&stage, "$project", &child);
    BSON_APPEND_BOOL(&child, "job_priority", true);
    BSON_APPEND_BOOL(&child, "created_at", true);
    bson_append_document_end(&stage, &child);
    bson_append_document_end(&stages, &stage);
    bson_append_array_end(&command, &stages);
    BSON_APPEND_DOCUMENT_BEGIN(&command, "cursor", &child);
    bson_append_document_end(&command, &child);
    BSON_APPEND_DOCUMENT(&command, "hint", m->fixed.waiting);
    enum err e = mongo_read(m, &command, ret_reply);
    bson_destroy(&command);
    if (e)
        return e;
    if (mongo_field(ret_reply, "cursor.firstBatch", &batch) && BSON_ITER_HOLDS_ARRAY(&batch) &&
        bson_iter_recurse(&batch, &it) && mongo_next(&it, ret_job))
        return ERR_OK;
    bson_destroy(ret_reply);
    return ERR_NOT_FOUND;
}

/* Looks at LOOK_MAX jobs. ERR_NOT_FOUND: none is left that the agent may have; ERR_FULL: none so
 * far, *ret_last is where the look ended. */
static enum err look(struct mongo *m, const struct claim *c, const struct mongo_look *from,
                     bson_t *ret_id, struct mongo_look *ret_last)
{
    bson_t reply, job;
    bson_iter_t it;
    enum err e = look_for(m, c, from, false, &reply, &job);

    if (!e) {
        mongo_append_as_read(ret_id, "_id", &job, "_id");
        bson_destroy(&reply);
    }
    if (e != ERR_NOT_FOUND || (e = look_for(m, c, from, true, &reply, &job)))
        return e;
    ret_last->created_ms = mongo_date(&job, "created_at");
    ret_last->has_priority =
        bson_iter_init_find(&it, &job, "job_priority") && BSON_ITER_HOLDS_NUMBER(&it);
    ret_last->priority = ret_last->has_priority ? bson_iter_as_int64(&it) : 0;
    bson_destroy(&reply);
    return ERR_FULL;
}

static bool is_before(const struct mongo_look *a, const struct mongo_look *b)
{
    if (a->has_priority != b->has_priority)
        return a->has_priority;
    if (a->priority != b->priority)
        return a->priority > b->priority;
    return a->created_ms < b->created_ms;
}

enum err heads_find(struct mongo *m, const struct claim *c, bson_t *ret_id)
{
    struct mongo_look at = {0}, from, *place;
    enum err e = look(m, c, NULL, ret_id, &at);

    if (e != ERR_FULL)
        return e;
    heads_note(m, c); /* there are still many */
    place = look_of(m, c);
    from = place->created_ms && !is_before(place, &at) ? *place : at;
    at = from;
    e = look(m, c, &from, ret_id, &at);
    if (e == ERR_FULL) {
        at.created_ms += !is_before(&from, &at); /* all of one millisecond: go on with the next */
        from = at;
    } else if (e == ERR_NOT_FOUND) {
        from.created_ms = 0; /* the next one begins behind the first look */
    }
    place->has_priority = from.has_priority;
    place->priority = from.priority;
    place->created_ms = from.created_ms;
    return e == ERR_FULL ? ERR_NOT_FOUND : e;
}
