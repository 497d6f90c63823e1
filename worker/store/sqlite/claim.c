/* The claim: hands waiting jobs to agents, each to one. */
#include "worker/store/sqlite/heads.h"
#include "worker/store/sqlite/job.h"

#include "common/mem.h"
#include "worker/jobs/claims.h"

#include <stdlib.h>

/* The first job of all the claim's queues, or of the first queue with one. ERR_NOT_FOUND. */
static enum err choose(struct sqlite *q, const struct claim *c, struct job_place *ret)
{
    struct job_place best = {0}, head;
    bool found = false;

    for (size_t i = 0; i < c->queues_len && !(found && c->in_order); i++) {
        enum err e = head_of(q, c->queues[i], c->agent, &head);
        if (e && e != ERR_NOT_FOUND)
            return e;
        if (!e && (!found || job_place_before(&head, &best))) {
            best = head;
            found = true;
        }
    }
    *ret = best;
    return found ? ERR_OK : ERR_NOT_FOUND;
}

/* Adds a wait of whole seconds to the waits of its queue. */
static enum err add_wait(struct sqlite *q, struct text queue, int64_t seconds)
{
    struct query add = query_new(q, SQL_WAIT_ADD);

    query_text(&add, queue);
    query_int(&add, seconds);
    enum err e = query_run(&add);
    if (e)
        return e;
    struct query cut = query_new(q, SQL_WAITS_CUT);
    query_text(&cut, queue);
    query_int(&cut, WAIT_TIMES_MAX);
    return query_run(&cut);
}

/* Fills the claim from the job of this number; `counts`: record its wait time. */
static enum err fill(struct sqlite *q, int64_t id, bool counts, struct claim *c)
{
    struct query r = query_new(q, SQL_CLAIM_JOB);
    json_t *data = NULL;

    query_int(&r, id);
    enum err e = query_step(&r);
    if (!e) {
        data = sqlite_job_data_of(&r, 5, 4);
        e = data ? ERR_OK : ERR_INTERNAL;
    }
    if (!e) {
        int64_t started_ms = query_col_int(&r, 1);
        struct text job_id = query_col_text(&r, 0);
        if (counts)
            e = add_wait(q, query_col_text(&r, 3),
                         claim_wait_s(query_col_int(&r, 2) / 1000, started_ms));
        if (!e) {
            c->data = json_incref(data);
            c->job_id = mem_strndup(job_id.s, job_id.len);
            c->started_ms = started_ms;
        }
    }
    json_decref(data);
    query_end(&r);
    return e;
}

/* The job that already has the claim's token. ERR_NOT_FOUND. */
static enum err find_claimed(struct sqlite *q, struct claim *c)
{
    int64_t id = 0;
    enum err e = sqlite_job_of_claim(q, c->asked.request_id, &id);

    return e ? e : fill(q, id, false, c);
}

/* The job of an earlier, unconfirmed claim of the same agent. ERR_NOT_FOUND. */
static enum err find_owned(struct sqlite *q, const struct claim *c, int64_t *ret_id)
{
    struct query r = query_new(q, SQL_CLAIM_OWNED);
    bool asks = false;
    enum err e;

    query_text(&r, c->agent);
    query_int(&r, sqlite_now_ms(q) - CLAIM_OPEN_MS);
    while (!asks && (e = query_step(&r)) == ERR_OK) {
        asks = claim_asks_for(c->queues, c->queues_len, query_col_text(&r, 1));
        if (asks)
            *ret_id = query_col_int(&r, 0);
    }
    query_end(&r);
    return e;
}

static enum err take(struct sqlite *q, struct claim *c)
{
    struct job_place head;
    bool again = c->agent.s && find_owned(q, c, &head.id) == ERR_OK;
    enum err e = again ? ERR_OK : choose(q, c, &head);

    if (e)
        return e;
    struct query r = query_new(q, SQL_CLAIM_TAKE);
    query_int(&r, head.id);
    query_int(&r, sqlite_now_ms(q));
    query_str(&r, c->asked.request_id);
    query_given(&r, c->agent);
    query_int_or_null(&r, c->lease_ms);
    e = query_run(&r);
    if (e == ERR_CONFLICT) /* a repeat of this request stored it meanwhile */
        return find_claimed(q, c);
    if (!e)
        e = sqlite_history_add(q, head.id, "running", NULL);
    return e ? e : fill(q, head.id, !again, c);
}

static enum err claim(struct sqlite *q, struct claim *c)
{
    struct job_place head;
    enum err e = ERR_OK;

    if (!c->asked.repeat && !q->begun)
        e = choose(q, c, &head); /* probe first: most find nothing and need no write lock */
    if (e == ERR_NOT_FOUND && c->agent.s)
        e = find_owned(q, c, &head.id);
    if (!e)
        e = sqlite_write_begin(q);
    if (e)
        return e;
    e = c->asked.repeat ? find_claimed(q, c) : ERR_NOT_FOUND;
    if (e == ERR_NOT_FOUND)
        e = take(q, c);
    e = sqlite_write_end(q, e);
    if (e) {
        json_decref(c->data);
        free(c->job_id);
        c->data = NULL;
        c->job_id = NULL;
    }
    return e;
}

enum err sqlite_jobs_claim(struct store *s, struct claim *claims, size_t n)
{
    for (size_t i = 0; i < n; i++)
        claims[i].err = claim(sqlite_of(s), &claims[i]);
    return ERR_OF_ALL(claims, n);
}
