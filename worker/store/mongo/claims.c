/* The claim: hands waiting jobs to agents, each to one. */
#include "worker/store/mongo/claim.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "worker/store/mongo/bsonjson.h"
#include "worker/store/mongo/unfit.h"

#include <string.h>

/* Claims that are worked at together. */
#define CLAIMS_MAX 32

/* A claim of this long has looked through many jobs, or the server has much to do: then the further
 * ones go by heads_find for a while, which is never wrong. */
#define SLOW_MS 50

static bool same_queues(const struct claim *a, const struct claim *b)
{
    if (a->queues_len != b->queues_len)
        return false;
    for (size_t i = 0; i < a->queues_len; i++)
        if (!mongo_text_is(a->queues[i], b->queues[i]))
            return false;
    return true;
}

/* ---- parts of the commands ---- */

/* What a claim sets; its started_ms is the time. */
static void append_update(bson_t *update, const struct claim *c)
{
    bson_t set;

    BSON_APPEND_DOCUMENT_BEGIN(update, "$set", &set);
    BSON_APPEND_UTF8(&set, STATE_PATH, "running");
    BSON_APPEND_DATE_TIME(&set, "started_at", c->started_ms);
    BSON_APPEND_UTF8(&set, "claim.token", c->asked.request_id);
    if (c->agent.s)
        mongo_append_text(&set, "claim.owner", c->agent);
    BSON_APPEND_DATE_TIME(&set, "claim.at", c->started_ms);
    BSON_APPEND_BOOL(&set, "claim.open", true);
    if (c->lease_ms)
        BSON_APPEND_DATE_TIME(&set, "lease", c->lease_ms);
    bson_append_document_end(update, &set);
    mongo_history_push(update, "running", c->started_ms, NULL);
}

static void append_projection(bson_t *projection)
{
    static const char *const fields[] = {"created_at", "started_at", "job_id", "job_data"};

    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        BSON_APPEND_BOOL(projection, fields[i], true);
}

/* Takes what the claim got out of the job's document. */
static void wish_fill(struct wish *w, const bson_t *job)
{
    struct claim *c = w->claim;
    bson_iter_t it;

    bool has_id = mongo_field(job, "job_id", &it) && BSON_ITER_HOLDS_UTF8(&it);
    c->job_id = mem_strdup(has_id ? bson_iter_utf8(&it, NULL) : "");
    bool has_data = bson_iter_init_find(&it, job, "job_data") && BSON_ITER_HOLDS_DOCUMENT(&it);
    c->data = has_data ? bsonjson_value(&it) : json_object();
    c->err = ERR_OK;
    const json_t *queue = json_object_get(c->data, "job_queue");
    w->queue = (struct text){json_string_value(queue), json_string_length(queue)};
    int64_t created_ms = mongo_date(job, "created_at");
    w->wait_s = created_ms && created_ms < c->started_ms ? (c->started_ms - created_ms) / 1000 : 0;
}

/* ---- repeats ---- */

/* Finds the job that carries the claim's token already. ERR_NOT_FOUND: there is none. */
static enum err find_claimed(struct mongo *m, struct wish *w)
{
    bson_t filter = BSON_INITIALIZER, projection = BSON_INITIALIZER, reply, job;
    bson_iter_t batch;
    struct mongo_query q = {.collection = JOBS,
                            .filter = &filter,
                            .projection = &projection,
                            .hint = m->fixed.by_job_state,
                            .limit = 1};

    BSON_APPEND_UTF8(&filter, STATE_PATH, "running");
    claims_append_queues(&filter, w->claim);
    BSON_APPEND_UTF8(&filter, "claim.token", w->claim->asked.request_id);
    append_projection(&projection);
    enum err e = mongo_find(m, &q, &reply, &batch);
    bson_destroy(&filter);
    bson_destroy(&projection);
    if (e)
        return e;
    if (mongo_next(&batch, &job)) {
        w->claim->started_ms = mongo_date(&job, "started_at");
        wish_fill(w, &job);
        w->queue.s = NULL; /* its wait was counted by the first one */
    } else {
        e = ERR_NOT_FOUND;
    }
    bson_destroy(&reply);
    return e;
}

/* ---- agents that ask again although their last claim is open ---- */

/* Hands the job of an old claim to the same agent under the new token. ERR_NOT_FOUND: it is settled
 * meanwhile. */
static enum err claim_again(struct mongo *m, struct wish *w, const char *token)
{
    bson_t command = BSON_INITIALIZER, child, reply, job;
    struct claim *c = w->claim;
    bson_iter_t value;
    enum err e;

    BSON_APPEND_UTF8(&command, "findAndModify", JOBS);
    BSON_APPEND_DOCUMENT_BEGIN(&command, "query", &child);
    BSON_APPEND_UTF8(&child, "claim.token", token);
    BSON_APPEND_BOOL(&child, "claim.open", true);
    BSON_APPEND_UTF8(&child, STATE_PATH, "running");
    bson_append_document_end(&command, &child);
    BSON_APPEND_DOCUMENT(&command, "hint", m->fixed.by_token);
    BSON_APPEND_DOCUMENT_BEGIN(&command, "update", &child);
    c->started_ms = clock_wall_us() / 1000;
    append_update(&child, c);
    bson_append_document_end(&command, &child);
    BSON_APPEND_DOCUMENT_BEGIN(&command, "fields", &child);
    append_projection(&child);
    bson_append_document_end(&command, &child);
    e = mongo_write(m, &command, &reply);
    bson_destroy(&command);
    if (e)
        return e;
    if (bson_iter_init_find(&value, &reply, "value") && mongo_document(&value, &job)) {
        wish_fill(w, &job);
        w->queue.s = NULL; /* its wait was counted the first time */
    } else {
        e = ERR_NOT_FOUND;
    }
    bson_destroy(&reply);
    return e;
}

/* Gives an open claim that was found to the wish that it belongs to. */
static void give_again(struct mongo *m, const bson_t *job, struct wish *wishes, size_t n)
{
    bson_iter_t owner, token, queue;

    if (!mongo_field(job, "claim.owner", &owner) || !BSON_ITER_HOLDS_UTF8(&owner) ||
        !mongo_field(job, "claim.token", &token) || !BSON_ITER_HOLDS_UTF8(&token) ||
        !mongo_field(job, "job_data.job_queue", &queue) || !BSON_ITER_HOLDS_UTF8(&queue))
        return;
    uint32_t owner_len, queue_len;
    struct text name = {bson_iter_utf8(&owner, &owner_len), 0};
    struct text in = {bson_iter_utf8(&queue, &queue_len), 0};
    name.len = owner_len;
    in.len = queue_len;
    for (size_t i = 0; i < n; i++) {
        struct claim *c = wishes[i].claim;
        bool asks = false;
        if (!wishes[i].open || !c->agent.s || !mongo_text_is(c->agent, name))
            continue;
        for (size_t k = 0; k < c->queues_len; k++)
            asks = asks || mongo_text_is(c->queues[k], in);
        enum err e =
            asks ? claim_again(m, &wishes[i], bson_iter_utf8(&token, NULL)) : ERR_NOT_FOUND;
        if (e == ERR_NOT_FOUND)
            continue;
        c->err = e;
        wishes[i].open = false;
        return;
    }
}

/* Jobs that were handed to these agents and did not arrive. */
static void serve_again(struct mongo *m, struct wish *wishes, size_t n)
{
    bson_t filter = BSON_INITIALIZER, projection = BSON_INITIALIZER, child, list, reply, job;
    bson_iter_t batch;
    struct mongo_query q = {.collection = JOBS,
                            .filter = &filter,
                            .projection = &projection,
                            .hint = m->fixed.by_owner,
                            .limit = CLAIMS_MAX};
    char key[MONGO_INDEX_SIZE];
    size_t owners = 0;

    BSON_APPEND_DOCUMENT_BEGIN(&filter, "claim.owner", &child);
    BSON_APPEND_ARRAY_BEGIN(&child, "$in", &list);
    for (size_t i = 0; i < n; i++)
        if (wishes[i].open && wishes[i].claim->agent.s)
            mongo_append_text(&list, mongo_index(owners++, key), wishes[i].claim->agent);
    bson_append_array_end(&child, &list);
    bson_append_document_end(&filter, &child);
    BSON_APPEND_BOOL(&filter, "claim.open", true);
    BSON_APPEND_DOCUMENT_BEGIN(&filter, "claim.at", &child);
    BSON_APPEND_DATE_TIME(&child, "$lt", clock_wall_us() / 1000 - CLAIM_OPEN_MS);
    bson_append_document_end(&filter, &child);
    BSON_APPEND_UTF8(&filter, STATE_PATH, "running");
    BSON_APPEND_BOOL(&projection, "claim", true);
    BSON_APPEND_BOOL(&projection, "job_data.job_queue", true);
    if (owners && mongo_find(m, &q, &reply, &batch) == ERR_OK) {
        while (mongo_next(&batch, &job))
            give_again(m, &job, wishes, n);
        bson_destroy(&reply);
    }
    bson_destroy(&filter);
    bson_destroy(&projection);
}

/* ---- one claim: one trip ---- */

/* Takes the first job that the agent may have; the one of this _id, where it was looked for. */
static void take_next(struct mongo *m, struct wish *w, const bson_t *id)
{
    bson_t command = BSON_INITIALIZER, child, reply, job;
    struct claim *c = w->claim;
    bson_iter_t value;

    c->started_ms = clock_wall_us() / 1000;
    BSON_APPEND_UTF8(&command, "findAndModify", JOBS);
    BSON_APPEND_DOCUMENT_BEGIN(&command, "query", &child);
    if (id)
        bson_concat(&child, id);
    claims_filter(&child, c, true);
    bson_append_document_end(&command, &child);
    if (!id)
        BSON_APPEND_DOCUMENT(&command, "sort", m->fixed.claim_order);
    BSON_APPEND_DOCUMENT(&command, "hint", id ? m->fixed.by_id : m->fixed.waiting);
    BSON_APPEND_DOCUMENT_BEGIN(&command, "update", &child);
    append_update(&child, c);
    bson_append_document_end(&command, &child);
    BSON_APPEND_DOCUMENT_BEGIN(&command, "fields", &child);
    append_projection(&child);
    bson_append_document_end(&command, &child);
    c->err = mongo_write(m, &command, &reply);
    bson_destroy(&command);
    if (c->err)
        return;
    if (bson_iter_init_find(&value, &reply, "value") && mongo_document(&value, &job))
        wish_fill(w, &job);
    else
        c->err = ERR_NOT_FOUND;
    bson_destroy(&reply);
}

static void claim_next(struct mongo *m, struct wish *w)
{
    bson_t id = BSON_INITIALIZER;
    int64_t began = clock_mono_ms();

    if (!w->claim->agent.s || !heads_are_many(m, w->claim)) {
        take_next(m, w, NULL);
        if (w->claim->agent.s && clock_mono_ms() - began >= SLOW_MS)
            heads_note(m, w->claim);
    } else if (!(w->claim->err = heads_find(m, w->claim, &id))) {
        take_next(m, w, &id);
    }
    bson_destroy(&id);
}

/* Jobs without room for a claim that one request deals with at most. */
#define UNFIT_MAX 8

static void claim_one(struct mongo *m, struct wish *w)
{
    claim_next(m, w);
    for (int i = 0; w->claim->err == ERR_TOO_LARGE && i < UNFIT_MAX; i++) {
        bson_t filter = BSON_INITIALIZER;
        claims_filter(&filter, w->claim, true);
        enum err e = unfit_make_room(m, &filter);
        bson_destroy(&filter);
        if (e)
            w->claim->err = e;
        else
            claim_next(m, w);
    }
    if (w->claim->err == ERR_TOO_LARGE)
        w->claim->err = ERR_UNAVAILABLE; /* there are more of them: the agent asks again */
}

/* ---- several claims of the same queues: two trips for all ---- */

static bool excludes(const bson_t *job, struct text agent)
{
    bson_iter_t it, list;
    uint32_t len;

    if (!agent.s || !mongo_field(job, "job_data.exclude_agents", &it) ||
        !BSON_ITER_HOLDS_ARRAY(&it) || !bson_iter_recurse(&it, &list))
        return false;
    while (bson_iter_next(&list))
        if (BSON_ITER_HOLDS_UTF8(&list)) {
            const char *name = bson_iter_utf8(&list, &len);
            if (mongo_text_is((struct text){name, len}, agent))
                return true;
        }
    return false;
}

struct chosen {
    size_t jobs;  /* found waiting */
    size_t taken; /* of them given to a claim */
};

/* Gives the jobs of the batch, in their order, to the first claim each that may have it. */
static struct chosen choose(struct wish *group[], size_t n, bson_iter_t *batch)
{
    struct chosen done = {0};
    bson_t job;

    for (; mongo_next(batch, &job); done.jobs++)
        for (size_t i = 0; i < n; i++)
            if (!group[i]->job && !excludes(&job, group[i]->claim->agent)) {
                group[i]->job = bson_get_data(&job);
                group[i]->job_len = job.len;
                done.taken++;
                break;
            }
    return done;
}

/* Appends the guarded update by which a claim gets its chosen job, if that is still as it was read.
 */
static void append_take(struct mongo *m, bson_t *updates, size_t index, const struct wish *w)
{
    bson_t filter = BSON_INITIALIZER, update = BSON_INITIALIZER, job;
    struct mongo_change change = {.filter = &filter, .update = &update, .hint = m->fixed.by_id};

    if (bson_init_static(&job, w->job, w->job_len)) {
        mongo_append_as_read(&filter, "_id", &job, "_id");
        BSON_APPEND_UTF8(&filter, STATE_PATH, "waiting");
        mongo_append_as_read(&filter, "created_at", &job, "created_at");
    }
    append_update(&update, w->claim);
    mongo_change_append(updates, index, &change);
    bson_destroy(&filter);
    bson_destroy(&update);
}

static enum err update_chosen(struct mongo *m, struct wish *group[], size_t n, int64_t *ret_matched)
{
    bson_t command = BSON_INITIALIZER, updates;
    struct mongo_changed done;
    int64_t now = clock_wall_us() / 1000;
    size_t index = 0;

    BSON_APPEND_UTF8(&command, "update", JOBS);
    BSON_APPEND_BOOL(&command, "ordered", false);
    BSON_APPEND_ARRAY_BEGIN(&command, "updates", &updates);
    for (size_t i = 0; i < n; i++)
        if (group[i]->job) {
            group[i]->claim->started_ms = now;
            append_take(m, &updates, index++, group[i]);
        }
    bson_append_array_end(&command, &updates);
    enum err e = mongo_write_all(m, &command, NULL, &done);
    bson_destroy(&command);
    if (!e)
        *ret_matched = done.matched;
    return e;
}

/* Takes the choice from those whose job does not carry their token. */
static enum err drop_losers(struct mongo *m, struct wish *group[], size_t n)
{
    bson_t filter = BSON_INITIALIZER, projection = BSON_INITIALIZER, in, list, reply, job;
    bson_iter_t batch, it;
    bool won[CLAIMS_MAX] = {false};
    char key[MONGO_INDEX_SIZE];
    size_t len = 0;
    struct mongo_query q = {.collection = JOBS,
                            .filter = &filter,
                            .projection = &projection,
                            .hint = m->fixed.by_id,
                            .limit = (int)n};

    BSON_APPEND_DOCUMENT_BEGIN(&filter, "_id", &in);
    BSON_APPEND_ARRAY_BEGIN(&in, "$in", &list);
    for (size_t i = 0; i < n; i++)
        if (group[i]->job && bson_init_static(&job, group[i]->job, group[i]->job_len))
            mongo_append_as_read(&list, mongo_index(len++, key), &job, "_id");
    bson_append_array_end(&in, &list);
    bson_append_document_end(&filter, &in);
    BSON_APPEND_BOOL(&projection, "claim.token", true);
    enum err e = mongo_find(m, &q, &reply, &batch);
    bson_destroy(&filter);
    bson_destroy(&projection);
    if (e)
        return e;
    while (mongo_next(&batch, &job))
        if (mongo_field(&job, "claim.token", &it) && BSON_ITER_HOLDS_UTF8(&it))
            for (size_t i = 0; i < n; i++)
                if (strcmp(group[i]->claim->asked.request_id, bson_iter_utf8(&it, NULL)) == 0)
                    won[i] = true;
    for (size_t i = 0; i < n; i++)
        if (!won[i])
            group[i]->job = NULL;
    bson_destroy(&reply);
    return ERR_OK;
}

/* Takes the chosen jobs; those lost to another worker are no longer chosen afterwards. */
static enum err take(struct mongo *m, struct wish *group[], size_t n, size_t taken)
{
    int64_t matched = 0;
    enum err e = update_chosen(m, group, n, &matched);

    /* A job without room for a claim fails alone: its claim goes one by one. */
    if (e == ERR_TOO_LARGE || (!e && matched < (int64_t)taken))
        e = drop_losers(m, group, n);
    if (e)
        return e;
    for (size_t i = 0; i < n; i++) {
        bson_t job;
        if (group[i]->job && bson_init_static(&job, group[i]->job, group[i]->job_len))
            wish_fill(group[i], &job);
    }
    return ERR_OK;
}

/* *more: there are others, which did not fit into the batch. */
static enum err find_waiting(struct mongo *m, const struct claim *c, size_t n, bool *more,
                             bson_t *ret_reply, bson_iter_t *ret_batch)
{
    bson_t filter = BSON_INITIALIZER, projection = BSON_INITIALIZER;
    struct mongo_query q = {.collection = JOBS,
                            .filter = &filter,
                            .projection = &projection,
                            .sort = m->fixed.claim_order,
                            .hint = m->fixed.waiting,
                            .limit = (int)n,
                            .more = more};

    claims_filter(&filter, c, false);
    append_projection(&projection);
    enum err e = mongo_find(m, &q, ret_reply, ret_batch);
    bson_destroy(&filter);
    bson_destroy(&projection);
    return e;
}

static void claim_group(struct mongo *m, struct wish *group[], size_t n)
{
    bson_t reply;
    bson_iter_t batch;
    bool more = false;
    enum err e = find_waiting(m, group[0]->claim, n, &more, &reply, &batch);

    for (size_t i = 0; i < n; i++)
        group[i]->claim->err = e ? e : ERR_NOT_FOUND;
    if (e)
        return;
    struct chosen done = choose(group, n, &batch);
    more = more || done.jobs == n;
    if (done.taken)
        e = take(m, group, n, done.taken);
    bson_destroy(&reply);
    size_t served = 0;
    for (size_t i = 0; i < n; i++) {
        served += !group[i]->claim->err;
        if (e)
            group[i]->claim->err = e;
    }
    /* The rest is few: losers of a race with another worker, and agents that jobs exclude. */
    more = more || served < done.taken;
    for (size_t i = 0; !e && more && i < n; i++)
        if (group[i]->claim->err == ERR_NOT_FOUND)
            claim_one(m, group[i]);
}

/* ---- all ---- */

/* Serves every claim of the same queues as the first one that is still open. */
static void claim_queues(struct mongo *m, struct wish *wishes, size_t n)
{
    struct wish *group[CLAIMS_MAX];
    size_t len = 0;

    for (size_t i = 0; i < n; i++)
        if (wishes[i].open && same_queues(wishes[i].claim, wishes[0].claim)) {
            wishes[i].open = false;
            group[len++] = &wishes[i];
        }
    if (len == 1)
        claim_one(m, group[0]);
    else
        claim_group(m, group, len);
}

static void claim_some(struct mongo *m, struct claim *claims, size_t n)
{
    struct wish wishes[CLAIMS_MAX];

    for (size_t i = 0; i < n; i++) {
        wishes[i] = (struct wish){.claim = &claims[i]};
        claims[i].err = ERR_NOT_FOUND;
        if (claims[i].asked.repeat)
            claims[i].err = find_claimed(m, &wishes[i]);
        wishes[i].open = claims[i].err == ERR_NOT_FOUND;
    }
    serve_again(m, wishes, n);
    for (size_t i = 0; i < n; i++)
        if (wishes[i].open)
            claim_queues(m, wishes + i, n - i);
    claims_store_waits(m, wishes, n);
}

enum err mongo_jobs_claim(struct store *s, struct claim *claims, size_t n)
{
    enum err all = ERR_OK;

    for (size_t i = 0; i < n; i += CLAIMS_MAX)
        claim_some(mongo_of(s), claims + i, n - i < CLAIMS_MAX ? n - i : CLAIMS_MAX);
    for (size_t i = 0; i < n; i++) {
        if (i && claims[i].err != all)
            return ERR_OK;
        all = claims[i].err;
    }
    return all;
}
