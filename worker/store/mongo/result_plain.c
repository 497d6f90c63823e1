/* Most posts of results, in one statement that is half as dear as the one of results.c: its filter
 * is the identity alone, which needs no planner, and its update leaves a job that is no plain case
 * as it is. */
#include "worker/store/mongo/result_plain.h"

#include "worker/jobs/states.h"
#include "worker/store/mongo/job.h"
#include "worker/store/mongo/once.h"

#include <string.h>

/* Bytes by which a plain put grows the job beside its fields: history, request id, lease. */
#define AROUND_MAX 4096

bool result_is_plain(const struct result_put *p)
{
    return !p->job_state || (!state_is_over(p->job_state) && strcmp(p->job_state, "waiting") != 0);
}

/* The lease while the state stays: it moves, and its index with it, only when a quarter of it is
 * over. */
static bson_t *same_lease(struct mongo *m, const struct result_put *p)
{
    int64_t late_ms = p->lease_ms - (p->lease_ms - mongo_now_ms(m)) / 4;

    return doc_of("$cond: [{$and: [{$lt: ['$lease', ?]}, ?]}, {lease: ?}, {}]", v_date(late_ms),
                  p->job_state ? v_bool(true)
                               : v_own(doc_of("$not: {$in: ['$" STATE_PATH "', ?]}",
                                              v_strs(states_not_leased(), SIZE_MAX))),
                  v_date(p->lease_ms));
}

/* What changes beside the fields: an expression; V_NONE: nothing. */
static struct doc_value changes(struct mongo *m, const struct result_put *p)
{
    struct doc_value same = p->lease_ms ? v_own(same_lease(m, p)) : v_none();

    if (!p->job_state)
        return same;
    return v_own(doc_of("$cond: [{$eq: ['$" STATE_PATH "', {$literal: ?}]}, ?, {history: ?, "
                        "lease: ?}]",
                        v_str(p->job_state), p->lease_ms ? same : v_own(bson_new()),
                        v_own(job_history_more(m, p->job_state, NULL)),
                        p->lease_ms ? v_date(p->lease_ms) : v_none()));
}

/* Whether the job is no plain case: it has this request, a claim that is not confirmed, was taken
 * from an agent as lost, keeps its state, or has little room. */
static bson_t *is_special(const struct result_put *p, int64_t size)
{
    const char *unless[STATES_MAX + 1];
    size_t n = p->job_state ? states_not_replaced_by(p->job_state, unless) : 0;

    return doc_of("$or: ['$claim.open', '$claim.reruns', {$in: [?, {$ifNull: ['$requests', "
                  "[]]}]}, ?, ?]",
                  v_str(p->asked.request_id),
                  n ? v_own(doc_of("$in: ['$" STATE_PATH "', ?]", v_strs(unless, n))) : v_none(),
                  p->max && json_object_size(p->fields)
                      ? v_own(doc_of("$gt: [{$bsonSize: '$$ROOT'}, ?]",
                                     v_int64((int64_t)p->max - size - AROUND_MAX)))
                      : v_none());
}

bson_t *result_plain(struct mongo *m, const struct result_put *p)
{
    bson_t *fields =
        doc_of("?, job_state: ?", v_json(p->fields), p->job_state ? v_str(p->job_state) : v_none());

    return fields ? doc_of("[{$replaceWith: {$cond: [?, '$$ROOT', {$mergeObjects: ['$$ROOT', "
                           "{requests: ?, result_data: {$mergeObjects: ['$result_data', "
                           "{$literal: ?}]}}, ?]}]}}]",
                           v_own(is_special(p, fields->len)),
                           v_own(once_requests(p->asked.request_id)), v_own(fields), changes(m, p))
                  : NULL;
}
