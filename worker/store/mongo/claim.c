/* The claim: hands waiting jobs to agents, each to one. */
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "worker/encoding/json_string.h"
#include "worker/jobs/claims.h"
#include "worker/store/mongo/agent_jobs.h"
#include "worker/store/mongo/claim_together.h"
#include "worker/store/mongo/heads.h"
#include "worker/store/mongo/job.h"
#include "worker/store/mongo/unfit.h"

#include <stdlib.h>
#include <string.h>

/* Limit of tries when another worker takes the found job first. */
#define LOST_MAX 4

/* Open claims whose owners are known; of more, each claim looks for itself. */
#define OPEN_MAX     128
#define OPEN_LOOK_MS (CLAIM_OPEN_MS - 500)

/* While most claims get a job, a claim this soon after one that did takes the next job without a
 * look. */
#define BUSY_MS  100
#define LUCK_ALL 1024
#define LUCK_OF  32 /* weight of a claim in the average: 1/32 */

/* Waiting jobs whose queues one look reads. */
#define LOOK_MAX 64

/* Limit of jobs without room for a claim that one request handles. */
#define UNFIT_MAX 8

static bool same_queues(const struct claim *a, const struct claim *b)
{
    if (a->queues_len != b->queues_len || a->in_order != b->in_order ||
        a->no_secrets != b->no_secrets)
        return false;
    for (size_t i = 0; i < a->queues_len; i++)
        if (!text_equal(a->queues[i], b->queues[i]))
            return false;
    return true;
}

/* ---- parts of the commands ---- */

/* The fields that a claim sets; its started_ms is the time. */
static bson_t *update_of(const struct claim *c)
{
    return doc_of("$set: {" STATE_PATH ": 'running', started_at: ?, claim.token: ?, claim.owner: "
                  "?, claim.at: ?, claim.open: true, lease: ?}, $push: ?",
                  v_date(c->started_ms), v_str(c->asked.request_id), v_given(c->agent),
                  v_date(c->started_ms), c->lease_ms ? v_date(c->lease_ms) : v_none(),
                  v_own(job_history_push("running", c->started_ms, NULL)));
}

/* Finds the job that already has the claim's token. ERR_NOT_FOUND. */
static enum err find_claimed(struct mongo *m, struct wish *w)
{
    struct db_found f;
    enum err e =
        DB_FIRST(m, &f, .collection = JOBS,
                 .filter = doc_of("?, claim.token: ?", v_own(heads_of_state(w->claim, "running")),
                                  v_str(w->claim->asked.request_id)),
                 .fields = CLAIM_FIELDS, .index = IX_JOB_STATE);

    if (e)
        return e;
    w->claim->started_ms = doc_date(&f.doc, "started_at");
    wish_fill(w, &f.doc, false);
    db_end(&f);
    return ERR_OK;
}

/* Gives the first job of the filter to the claim. ERR_NOT_FOUND. Takes the filter. */
static enum err hand_out(struct mongo *m, struct wish *w, bson_t *filter, enum db_index index,
                         const char *sort, bool counts)
{
    struct db_found f;

    w->claim->started_ms = mongo_now_ms(m);
    enum err e = DB_MODIFY(m, JOBS, &f, .filter = filter, .update = update_of(w->claim),
                           .index = index, .sort = sort, .fields = CLAIM_FIELDS);
    if (e)
        return e;
    wish_fill(w, &f.doc, counts);
    db_end(&f);
    return ERR_OK;
}

/* ---- agents that ask again although their last claim is open ---- */

/* Gives the job of an old claim to the new claim of the same agent, under the new token; to none if
 * the old one was settled meanwhile. */
static void give_again(struct mongo *m, const bson_t *job, struct wish *wishes, size_t n)
{
    struct text owner = doc_text(job, "claim.owner"), queue = doc_text(job, "job_data.job_queue");
    const char *token = doc_str(job, "claim.token");

    for (size_t i = 0; owner.s && token && i < n; i++) {
        struct claim *c = wishes[i].claim;
        if (!wishes[i].open || !c->agent.s || !text_equal(c->agent, owner) ||
            !claim_asks_for(c->queues, c->queues_len, queue))
            continue;
        enum err e = hand_out(
            m, &wishes[i],
            doc_of("claim.token: ?, claim.open: true, " STATE_PATH ": 'running'", v_str(token)),
            IX_TOKEN, NULL, false);
        if (e == ERR_NOT_FOUND)
            continue;
        c->err = e;
        wishes[i].open = false;
        return;
    }
}

/* Reads the owners of open claims where it is time to. A claim that opens after the read is not
 * given again before CLAIM_OPEN_MS, so the owners read stay good for nearly that long. */
static void refresh_open(struct mongo *m)
{
    int64_t now = clock_mono_ms();
    struct db_found f;
    size_t seen = 0;

    if ((m->open.owners && now < m->open.due_ms) ||
        DB_FIND(m, &f, .collection = JOBS, .filter = doc_of("claim.open: true"),
                .fields = "_id: false, claim.owner: true", .index = IX_OWNER, .limit = OPEN_MAX))
        return;
    json_decref(m->open.owners);
    m->open.owners = json_object();
    m->open.due_ms = now + OPEN_LOOK_MS;
    for (; db_next(&f); seen++) {
        struct text owner = doc_text(&f.doc, "claim.owner");
        if (owner.s)
            json_object_setn_new(m->open.owners, owner.s, owner.len, json_true());
    }
    m->open.many = seen == OPEN_MAX;
    db_end(&f);
}

/* Whether the agent may have an open claim that it gets again. */
static bool may_be_open(struct mongo *m, struct text agent)
{
    if (!agent.s)
        return false;
    refresh_open(m);
    return !m->open.owners || m->open.many ||
           json_object_getn(m->open.owners, agent.s, agent.len) != NULL;
}

/* Jobs that were handed to these agents without a confirmation. */
static void serve_again(struct mongo *m, struct wish *wishes, size_t n)
{
    struct text owners[CLAIMS_MAX];
    struct db_found f;
    size_t len = 0;

    for (size_t i = 0; i < n; i++)
        if (wishes[i].open && may_be_open(m, wishes[i].claim->agent))
            owners[len++] = wishes[i].claim->agent;
    if (!len ||
        DB_FIND(m, &f, .collection = JOBS,
                .filter = doc_of("claim.owner: {$in: ?}, claim.open: true, claim.at: "
                                 "{$lt: ?}, " STATE_PATH ": 'running'",
                                 v_texts(owners, len), v_date(mongo_now_ms(m) - CLAIM_OPEN_MS)),
                .fields = "claim: true, job_data.job_queue: true", .index = IX_OWNER,
                .limit = CLAIMS_MAX))
        return;
    while (db_next(&f))
        give_again(m, &f.doc, wishes, n);
    db_end(&f);
}

/* ---- one claim: one trip ---- */

/* Takes the first job that the agent may have. */
static enum err take_first(struct mongo *m, struct wish *w)
{
    int64_t began = clock_mono_ms();
    enum err e = hand_out(
        m, w,
        doc_of("?, ?", v_own(heads_of_state(w->claim, "waiting")), v_own(heads_fitting(w->claim))),
        IX_WAITING, CLAIM_ORDER, true);

    if (clock_mono_ms() - began >= CLAIM_SLOW_MS)
        heads_check(m, w->claim);
    return e;
}

/* As above, by a bounded look. */
static enum err take_found(struct mongo *m, struct wish *w)
{
    enum err e = ERR_NOT_FOUND, found = ERR_OK;

    for (int i = 0; e == ERR_NOT_FOUND && i < LOST_MAX; i++) {
        bson_t *id = NULL;
        found = heads_find(m, w->claim, &id);
        if (found)
            return found;
        e = hand_out(m, w,
                     doc_of("?, ?, ?", v_own(id), v_own(heads_of_state(w->claim, "waiting")),
                            v_own(heads_fitting(w->claim))),
                     IX_ID, NULL, true);
    }
    return e;
}

static void claim_one(struct mongo *m, struct wish *w)
{
    enum err e = ERR_TOO_LARGE, room = ERR_OK;

    for (int i = 0; e == ERR_TOO_LARGE && !room && i <= UNFIT_MAX; i++) {
        if (i)
            room = unfit_make_room(m, w->claim);
        if (!room)
            e = heads_are_many(m, w->claim) ? take_found(m, w) : take_first(m, w);
    }
    if (e == ERR_TOO_LARGE) /* UNFIT_MAX jobs did not fit: let the agent ask again */
        e = room ? room : ERR_UNAVAILABLE;
    w->claim->err = e;
}

/* Takes the first job of the first queue that has one: a trip for each queue, but one for all of
 * them while no job waits. */
static void claim_in_order(struct mongo *m, struct wish *w)
{
    struct claim *c = w->claim;
    const struct text *queues = c->queues;
    size_t n = c->queues_len;
    struct db_found f;

    c->err = DB_FIRST(m, &f, .collection = JOBS, .filter = heads_of_state(c, "waiting"),
                      .fields = "_id: true", .index = IX_WAITING);
    if (c->err)
        return;
    db_end(&f);
    c->err = ERR_NOT_FOUND;
    c->queues_len = 1;
    for (size_t i = 0; i < n && c->err == ERR_NOT_FOUND; i++) {
        c->queues = &queues[i];
        claim_one(m, w);
    }
    c->queues = queues;
    c->queues_len = n;
}

/* Few claims remain after a common one: losers of a race with another worker, and agents that jobs
 * exclude. */
static void claim_group(struct mongo *m, struct wish *group[], size_t n)
{
    bool more = true;
    enum err e = ERR_OK;

    for (size_t i = 0; i < n; i++)
        group[i]->claim->err = ERR_NOT_FOUND;
    if (n > 1 && !group[0]->claim->in_order && !heads_are_many(m, group[0]->claim))
        e = claim_together(m, group, n, &more);
    for (size_t i = 0; i < n; i++)
        if (e)
            group[i]->claim->err = e;
        else if (group[i]->claim->in_order)
            claim_in_order(m, group[i]);
        else if (more && group[i]->claim->err == ERR_NOT_FOUND)
            claim_one(m, group[i]);
}

/* ---- how long the jobs of a queue have waited ---- */

/* Adds the waits of the handed-out jobs to those of their queues. A failure only loses statistics.
 */
static void store_waits(struct mongo *m, struct wish *wishes, size_t n)
{
    struct db_batch b = DB_BATCH(WAIT_TIMES);

    b.unordered = b.light = true;
    for (size_t i = 0; i < n; i++) {
        struct text queue = wishes[i].queue;
        bson_t waits = BSON_INITIALIZER;
        size_t len = 0;
        for (size_t k = i; queue.s && k < n; k++)
            if (wishes[k].queue.s && text_equal(wishes[k].queue, queue)) {
                doc_put_at(&waits, len++, v_int(wishes[k].wait_s));
                wishes[k].queue.s = NULL; /* it is in */
            }
        if (len)
            DB_ADD_UPDATE(&b, .filter = doc_of("name: ?", v_text(queue)),
                          .update = doc_of("$push: {wait_times: {$each: ?, $slice: ?}}",
                                           v_array(&waits), v_int(-WAIT_TIMES_MAX)),
                          .upsert = true);
        bson_destroy(&waits);
    }
    if (db_run(m, &b, NULL))
        log_warn("cannot store the wait times of handed-out jobs; see the message before");
}

/* ---- what agents are shown with ---- */

/* Tells the agents' documents the jobs that they have now. */
static void store_agents(struct mongo *m, struct wish *wishes, size_t n)
{
    struct db_batch b = DB_BATCH(AGENTS);

    b.unordered = b.light = true;
    for (size_t i = 0; i < n; i++) {
        char *submitter = wishes[i].submitter;
        if (!wishes[i].claim->err && wishes[i].claim->agent.s)
            agent_job_add(&b, wishes[i].claim,
                          submitter && *submitter ? (struct text){submitter, strlen(submitter)}
                                                  : (struct text){NULL, 0});
        free(submitter);
    }
    if (db_run(m, &b, NULL))
        log_warn("agents are shown without the jobs that they took; see the message before");
}

/* ---- all ---- */

static bool asks_for_any(const struct claim *c, const json_t *queues)
{
    for (size_t i = 0; i < c->queues_len; i++)
        if (json_object_getn(queues, c->queues[i].s, c->queues[i].len))
            return true;
    return false;
}

/* The queues of the open claims in which jobs wait, as the keys of an object; *all: that is all of
 * them. */
static enum err queues_with_jobs(struct mongo *m, const struct wish *wishes, size_t n,
                                 json_t *queues, bool *all)
{
    struct text *names;
    struct db_found f;
    size_t len = 0, room = 0, seen = 0;

    for (size_t i = 0; i < n; i++)
        room += wishes[i].claim->queues_len;
    names = mem_alloc((room + 1) * sizeof *names);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; wishes[i].open && k < wishes[i].claim->queues_len; k++)
            names[len++] = wishes[i].claim->queues[k];
    const struct claim any = {.queues = names, .queues_len = len};
    enum err e = DB_FIND(m, &f, .collection = JOBS, .filter = heads_of_state(&any, "waiting"),
                         .fields = "_id: false, job_data.job_queue: true", .index = IX_WAITING,
                         .limit = LOOK_MAX);
    for (; !e && db_next(&f); seen++) {
        struct text queue = doc_text(&f.doc, "job_data.job_queue");
        if (queue.s)
            json_object_setn_new_nocheck(queues, queue.s, queue.len, json_true());
    }
    db_end(&f);
    free(names);
    *all = seen < LOOK_MAX;
    return e;
}

/* Most claims find nothing: one look at the index for all, which writes nothing, so that no flush
 * of the group waits for the journal. Skipped while claims get jobs, when it would be a trip more.
 */
static void close_without_jobs(struct mongo *m, struct wish *wishes, size_t n)
{
    json_t *queues;
    bool all = false, open = false;

    for (size_t i = 0; i < n; i++)
        open = open || wishes[i].open;
    if (!open || (m->claim_luck > LUCK_ALL / 2 && clock_mono_ms() - m->claimed_ms < BUSY_MS))
        return;
    queues = json_object();
    enum err e = queues_with_jobs(m, wishes, n, queues, &all);
    for (size_t i = 0; (e || all) && i < n; i++)
        if (wishes[i].open && (e || !asks_for_any(wishes[i].claim, queues))) {
            wishes[i].claim->err = e ? e : ERR_NOT_FOUND;
            wishes[i].open = false;
        }
    json_decref(queues);
}

/* Serves all claims of the same queues as the first open one. */
static void claim_queues(struct mongo *m, struct wish *wishes, size_t n)
{
    struct wish *group[CLAIMS_MAX];
    size_t len = 0;

    for (size_t i = 0; i < n; i++)
        if (wishes[i].open && same_queues(wishes[i].claim, wishes[0].claim)) {
            wishes[i].open = false;
            group[len++] = &wishes[i];
        }
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
    close_without_jobs(m, wishes, n);
    for (size_t i = 0; i < n; i++)
        if (wishes[i].open)
            claim_queues(m, wishes + i, n - i);
    for (size_t i = 0; i < n; i++) {
        m->claim_luck += ((claims[i].err ? 0 : LUCK_ALL) - m->claim_luck) / LUCK_OF;
        if (!claims[i].err)
            m->claimed_ms = clock_mono_ms();
    }
    store_waits(m, wishes, n);
    store_agents(m, wishes, n);
}

enum err mongo_jobs_claim(struct store *s, struct claim *claims, size_t n)
{
    for (size_t i = 0; i < n; i += CLAIMS_MAX)
        claim_some(mongo_of(s), claims + i, n - i < CLAIMS_MAX ? n - i : CLAIMS_MAX);
    return ERR_OF_ALL(claims, n);
}
