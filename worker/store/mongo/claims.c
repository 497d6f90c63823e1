/* The end of claims: they arrived, did not, or took too long. */
#include "worker/store/mongo/agent_jobs.h"
#include "worker/store/mongo/job.h"

#include "common/mem.h"
#include "worker/jobs/claims.h"

#include <string.h>

#define SETTLE_MAX 64 /* tokens in one statement */

#define SWEEPS "sweeps"

/* Makes the job of an open claim wait again. ERR_NOT_FOUND: it was settled, or its agent reported.
 */
static enum err give_back(struct mongo *m, const char *token, char **ret_queue)
{
    struct db_found f;
    enum err e = DB_MODIFY(
        m, JOBS, &f,
        .filter =
            doc_of("claim.token: ?, claim.open: true, " STATE_PATH ": 'running'", v_str(token)),
        .update = doc_of("$set: {" STATE_PATH ": 'waiting'}, $unset: {started_at: true, lease: "
                         "true, claim.token: true, claim.owner: true, claim.at: true, claim.open: "
                         "true}, $push: ?",
                         v_own(job_history_push("waiting", mongo_now_ms(m), NULL))),
        .index = IX_TOKEN, .fields = "job_id: true, job_data.job_queue: true");

    if (e)
        return e;
    const char *queue = doc_str(&f.doc, "job_data.job_queue");
    if (queue)
        *ret_queue = mem_strdup(queue);
    agent_job_end(m, doc_text(&f.doc, "job_id"));
    db_end(&f);
    return ERR_OK;
}

/* Appends the arrival of claims to the batch: one statement for all, since mongod plans each. */
static void add_close(struct db_batch *b, const char *const *tokens, size_t n)
{
    if (n)
        DB_ADD_UPDATE(
            b, .filter = doc_of("claim.token: {$in: ?}, claim.open: true", v_strs(tokens, n)),
            .update = doc_of("$unset: {claim.open: true}"), .index = IX_TOKEN, .all = true);
}

/* Settles up to SETTLE_MAX claims. */
static void settle_some(struct mongo *m, struct claim_settle *claims, size_t n)
{
    struct db_batch arrived = DB_BATCH(JOBS);
    const char *tokens[SETTLE_MAX];
    size_t len = 0;

    for (size_t i = 0; i < n; i++)
        if (claims[i].arrived)
            tokens[len++] = claims[i].token;
    arrived.last = true;
    add_close(&arrived, tokens, len);
    enum err e = db_run(m, &arrived, NULL);
    for (size_t i = 0; i < n; i++) {
        claims[i].err = claims[i].arrived ? e : give_back(m, claims[i].token, &claims[i].queue);
        if (claims[i].err == ERR_NOT_FOUND)
            claims[i].err = ERR_OK;
    }
}

enum err mongo_claims_settle(struct store *s, struct claim_settle *claims, size_t n)
{
    for (size_t i = 0; i < n; i += SETTLE_MAX)
        settle_some(mongo_of(s), claims + i, n - i < SETTLE_MAX ? n - i : SETTLE_MAX);
    return ERR_OK;
}

/* Makes the job of a lost claim wait again; adds any other claim to those to close. One that
 * changes meanwhile is handled by the next step. */
static enum err overdue(struct mongo *m, const bson_t *job, struct db_batch *closed,
                        struct sweep *sweep)
{
    struct text token = doc_text(job, "claim.token");

    if (!token.s || token.len != REQUEST_ID_SIZE - 1)
        return ERR_OK;
    if (!claim_is_lost(doc_text(job, STATE_PATH))) {
        add_close(closed, &token.s, 1);
    } else {
        enum err e = give_back(m, token.s, &sweep->wake[sweep->wake_len]);
        if (e)
            return e == ERR_NOT_FOUND ? ERR_OK : e;
        sweep->wake_len += sweep->wake[sweep->wake_len] != NULL;
    }
    sweep->done++;
    return ERR_OK;
}

/* Whether any claim is open. */
static enum err find_open(struct mongo *m, bool *ret_none)
{
    struct db_found f;
    enum err e = DB_FIRST(m, &f, .collection = JOBS, .filter = doc_of("claim.open: true"),
                          .fields = "_id: true", .index = IX_TOKEN);

    db_end(&f);
    *ret_none = e == ERR_NOT_FOUND;
    return *ret_none ? ERR_OK : e;
}

enum err mongo_claims_overdue(struct store *s, struct sweep *sweep)
{
    struct mongo *m = mongo_of(s);
    struct db_batch closed = DB_BATCH(JOBS);
    struct db_found f;
    size_t seen = 0;
    enum err e = find_open(m, &sweep->none);

    if (e || sweep->none)
        return e;
    e = DB_FIND(m, &f, .collection = JOBS,
                .filter = doc_of("claim.open: true, claim.at: {$lt: ?}", v_date(sweep->before_ms)),
                .fields = "claim.token: true, " STATE_PATH ": true", .index = IX_TOKEN,
                .limit = SWEEP_MAX);

    if (e)
        return e;
    closed.unordered = true;
    for (; !e && db_next(&f); seen++)
        e = overdue(m, &f.doc, &closed, sweep);
    db_end(&f);
    enum err last = db_run(m, &closed, NULL);
    sweep->more = seen == SWEEP_MAX;
    return e ? e : last;
}

/* Whether another process has the turn. */
static enum err is_taken(struct mongo *m, struct sweep_turn *turn, bool *ret)
{
    struct db_found f;
    enum err e = db_get(m, SWEEPS, doc_of("_id: 'turn'"), NULL, &f);

    *ret = false;
    if (e)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    int64_t end_ms = doc_date(&f.doc, "end");
    if (end_ms > turn->now_ms && !doc_text_is(&f.doc, "owner", turn->owner)) {
        turn->end_ms = end_ms;
        *ret = true;
    }
    db_end(&f);
    return ERR_OK;
}

enum err mongo_sweep_turn(struct store *s, struct sweep_turn *turn, bool *ret_mine)
{
    bool taken;
    enum err e = is_taken(mongo_of(s), turn, &taken);

    *ret_mine = false;
    if (e || taken)
        return e;
    e = DB_UPDATE(mongo_of(s), SWEEPS, NULL,
                  .filter = doc_of("_id: 'turn', $or: [{end: {$lte: ?}}, {owner: ?}]",
                                   v_date(turn->now_ms), v_str(turn->owner)),
                  .update =
                      doc_of("$set: {owner: ?, end: ?}", v_str(turn->owner), v_date(turn->end_ms)),
                  .upsert = true);

    if (e && e != ERR_CONFLICT) /* another process has it: the upsert met its document */
        return e;
    *ret_mine = !e;
    return ERR_OK;
}
