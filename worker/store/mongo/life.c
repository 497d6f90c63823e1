/* The life of a claim: claims that arrived or not, and the sweep. */
#include "worker/store/mongo/mongo.h"

#include "common/clock.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

/* Statements in one command. */
#define SETTLE_MAX 64

#define SWEEPS "sweeps"

void mongo_history_push(bson_t *update, const char *state, int64_t at_ms, const char *reason)
{
    bson_t push, history, each, entry;

    BSON_APPEND_DOCUMENT_BEGIN(update, "$push", &push);
    BSON_APPEND_DOCUMENT_BEGIN(&push, "history", &history);
    BSON_APPEND_ARRAY_BEGIN(&history, "$each", &each);
    BSON_APPEND_DOCUMENT_BEGIN(&each, "0", &entry);
    BSON_APPEND_UTF8(&entry, "state", state);
    BSON_APPEND_DATE_TIME(&entry, "at", at_ms);
    if (reason)
        BSON_APPEND_UTF8(&entry, "reason", reason);
    bson_append_document_end(&each, &entry);
    bson_append_array_end(&history, &each);
    BSON_APPEND_INT32(&history, "$slice", -HISTORY_MAX);
    bson_append_document_end(&push, &history);
    bson_append_document_end(update, &push);
}

static void append_open(bson_t *filter, const char *token)
{
    BSON_APPEND_UTF8(filter, "claim.token", token);
    BSON_APPEND_BOOL(filter, "claim.open", true);
}

static void append_unset(bson_t *update, const char *const *fields, size_t n)
{
    bson_t unset;

    BSON_APPEND_DOCUMENT_BEGIN(update, "$unset", &unset);
    for (size_t i = 0; i < n; i++)
        BSON_APPEND_BOOL(&unset, fields[i], true);
    bson_append_document_end(update, &unset);
}

/* Lets the job of an open claim wait again. ERR_NOT_FOUND: it is settled, or was reported. */
static enum err give_back(struct mongo *m, const char *token, char **ret_queue)
{
    static const char *const gone[] = {"started_at",  "lease",    "claim.token",
                                       "claim.owner", "claim.at", "claim.open"};
    bson_t command = BSON_INITIALIZER, child, set, reply, job;
    bson_iter_t value, it;

    BSON_APPEND_UTF8(&command, "findAndModify", JOBS);
    BSON_APPEND_DOCUMENT_BEGIN(&command, "query", &child);
    append_open(&child, token);
    BSON_APPEND_UTF8(&child, STATE_PATH, "running");
    bson_append_document_end(&command, &child);
    BSON_APPEND_DOCUMENT(&command, "hint", m->fixed.by_token);
    BSON_APPEND_DOCUMENT_BEGIN(&command, "update", &child);
    BSON_APPEND_DOCUMENT_BEGIN(&child, "$set", &set);
    BSON_APPEND_UTF8(&set, STATE_PATH, "waiting");
    bson_append_document_end(&child, &set);
    append_unset(&child, gone, sizeof gone / sizeof *gone);
    mongo_history_push(&child, "waiting", clock_wall_us() / 1000, NULL);
    bson_append_document_end(&command, &child);
    BSON_APPEND_DOCUMENT_BEGIN(&command, "fields", &child);
    BSON_APPEND_BOOL(&child, "job_data.job_queue", true);
    bson_append_document_end(&command, &child);
    enum err e = mongo_write(m, &command, &reply);
    bson_destroy(&command);
    if (e)
        return e;
    if (!bson_iter_init_find(&value, &reply, "value") || !mongo_document(&value, &job))
        e = ERR_NOT_FOUND;
    else if (mongo_field(&job, "job_data.job_queue", &it) && BSON_ITER_HOLDS_UTF8(&it))
        *ret_queue = mem_strdup(bson_iter_utf8(&it, NULL));
    bson_destroy(&reply);
    return e;
}

/* Closes up to SETTLE_MAX claims that arrived. */
static enum err close_some(struct mongo *m, const struct claim_settle *claims, size_t n)
{
    static const char *const gone[] = {"claim.open"};
    bson_t command = BSON_INITIALIZER, updates;
    size_t len = 0;
    enum err e = ERR_OK;

    BSON_APPEND_UTF8(&command, "update", JOBS);
    BSON_APPEND_BOOL(&command, "ordered", false);
    BSON_APPEND_ARRAY_BEGIN(&command, "updates", &updates);
    for (size_t i = 0; i < n; i++) {
        bson_t filter = BSON_INITIALIZER, update = BSON_INITIALIZER;
        struct mongo_change change = {
            .filter = &filter, .update = &update, .hint = m->fixed.by_token};
        if (claims[i].arrived) {
            append_open(&filter, claims[i].token);
            append_unset(&update, gone, 1);
            mongo_change_append(&updates, len++, &change);
        }
        bson_destroy(&filter);
        bson_destroy(&update);
    }
    bson_append_array_end(&command, &updates);
    if (len)
        e = mongo_write_all(m, &command, NULL, NULL);
    bson_destroy(&command);
    return e;
}

enum err mongo_claims_settle(struct store *s, struct claim_settle *claims, size_t n)
{
    struct mongo *m = mongo_of(s);

    for (size_t i = 0; i < n; i += SETTLE_MAX) {
        size_t len = n - i < SETTLE_MAX ? n - i : SETTLE_MAX;
        enum err e = close_some(m, claims + i, len);
        for (size_t k = i; k < i + len; k++) {
            claims[k].err = claims[k].arrived ? e : give_back(m, claims[k].token, &claims[k].queue);
            if (claims[k].err == ERR_NOT_FOUND)
                claims[k].err = ERR_OK;
        }
    }
    return ERR_OK;
}

/* Deals with one claim that is open for too long. */
static enum err overdue(struct mongo *m, const char *token, struct sweep *sweep)
{
    struct claim_settle late = {.arrived = true};
    enum err e = give_back(m, token, &sweep->wake[sweep->wake_len]);

    if (!e && sweep->wake[sweep->wake_len])
        sweep->wake_len++;
    if (e != ERR_NOT_FOUND)
        return e;
    memcpy(late.token, token, REQUEST_ID_SIZE);
    return close_some(m, &late, 1);
}

enum err mongo_claims_overdue(struct store *s, struct sweep *sweep)
{
    struct mongo *m = mongo_of(s);
    bson_t filter = BSON_INITIALIZER, projection = BSON_INITIALIZER, range, reply, job;
    bson_iter_t batch, token;
    struct mongo_query q = {.collection = JOBS,
                            .filter = &filter,
                            .projection = &projection,
                            .hint = m->fixed.by_token,
                            .limit = SWEEP_MAX};
    size_t seen = 0;

    BSON_APPEND_BOOL(&filter, "claim.open", true);
    BSON_APPEND_DOCUMENT_BEGIN(&filter, "claim.at", &range);
    BSON_APPEND_DATE_TIME(&range, "$lt", sweep->before_ms);
    bson_append_document_end(&filter, &range);
    BSON_APPEND_BOOL(&projection, "claim.token", true);
    enum err e = mongo_find(m, &q, &reply, &batch);
    bson_destroy(&filter);
    bson_destroy(&projection);
    if (e)
        return e;
    for (; !e && mongo_next(&batch, &job); seen++)
        if (mongo_field(&job, "claim.token", &token) && BSON_ITER_HOLDS_UTF8(&token) &&
            strlen(bson_iter_utf8(&token, NULL)) == REQUEST_ID_SIZE - 1) {
            e = overdue(m, bson_iter_utf8(&token, NULL), sweep);
            sweep->done += !e;
        }
    bson_destroy(&reply);
    sweep->more = seen == SWEEP_MAX;
    return e;
}

enum err mongo_sweep_turn(struct store *s, const struct sweep_turn *turn, bool *ret_mine)
{
    bson_t filter = BSON_INITIALIZER, update = BSON_INITIALIZER, any, child, range;
    struct mongo_change change = {.filter = &filter, .update = &update, .upsert = true};

    BSON_APPEND_UTF8(&filter, "_id", "turn");
    BSON_APPEND_ARRAY_BEGIN(&filter, "$or", &any);
    BSON_APPEND_DOCUMENT_BEGIN(&any, "0", &child);
    BSON_APPEND_DOCUMENT_BEGIN(&child, "end", &range);
    BSON_APPEND_DATE_TIME(&range, "$lte", turn->now_ms);
    bson_append_document_end(&child, &range);
    bson_append_document_end(&any, &child);
    BSON_APPEND_DOCUMENT_BEGIN(&any, "1", &child);
    BSON_APPEND_UTF8(&child, "owner", turn->owner);
    bson_append_document_end(&any, &child);
    bson_append_array_end(&filter, &any);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &child);
    BSON_APPEND_UTF8(&child, "owner", turn->owner);
    BSON_APPEND_DATE_TIME(&child, "end", turn->end_ms);
    bson_append_document_end(&update, &child);
    enum err e = mongo_update(mongo_of(s), SWEEPS, &change, NULL);
    bson_destroy(&filter);
    bson_destroy(&update);
    if (e && e != ERR_CONFLICT) /* another one has it: the upsert met its document */
        return e;
    *ret_mine = !e;
    return ERR_OK;
}
