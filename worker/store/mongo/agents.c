/* Agents and queues. */
#include "worker/store/mongo/age.h"
#include "worker/store/mongo/db.h"

#include "worker/store/mongo/once.h"

/* What the server keeps in the document of an agent beside its fields. */
enum { OWN_NAMES = 9 };

/* An expression: the fields whose names nobody knows, none of them where they become too many. */
static struct doc_value extra_of(const struct agent_put *a)
{
    if (!json_object_size(a->extra))
        return v_own(bson_new());
    /* Those that come and go count in any case. */
    return v_own(doc_of("$cond: [{$gt: [{$size: {$objectToArray: {$mergeObjects: ['$$ROOT', "
                        "{" AGENT_HEARD ": 0, " AGENT_SILENT ": 0}, {$literal: ?}]}}}, ?]}, {}, "
                        "{$literal: ?}]",
                        v_json(a->extra), v_int(AGENT_NAMES_MAX + OWN_NAMES), v_json(a->extra)));
}

/* An expression: submitted_by stays with the same job; null with another one. */
static struct doc_value submitter_of(const json_t *job_id)
{
    return v_own(doc_of("$cond: [{$or: [{$eq: ['$job_id', {$literal: ?}]}, {$eq: [{$type: "
                        "'$submitted_by'}, 'missing']}]}, '$submitted_by', null]",
                        v_json(job_id)));
}

/* Whether the post changes nothing but perhaps the age, *ret_ms. A repeat is not looked at: where
 * its first run changed something, the agent's document has its request. */
static bool is_known(struct mongo *m, const struct agent_put *a, int64_t *ret_ms)
{
    struct db_found f;

    if (a->asked.repeat || json_array_size(a->log) ||
        db_get(m, AGENTS, doc_of("name: ?", v_text(a->name)), "log: false, requests: false", &f))
        return false;
    json_t *agent = doc_object(&f.doc);
    bool known = agent_put_is_known(agent, a);
    *ret_ms = doc_date(&f.doc, "updated_at");
    json_decref(agent);
    db_end(&f);
    return known;
}

static enum err put(struct mongo *m, const struct agent_put *a)
{
    const json_t *job_id = json_object_get(a->fields, "job_id");
    bson_t *changes =
        doc_of("$mergeObjects: [?, {$literal: ?}, {updated_at: ?, submitted_by: ?, log: {$slice: [{"
               "$concatArrays: [{$ifNull: ['$log', []]}, {$literal: ?}]}, ?]}}]",
               extra_of(a), v_json(a->fields), v_date(mongo_now_ms(m)),
               job_id ? submitter_of(job_id) : v_none(), a->log ? v_json(a->log) : v_texts(NULL, 0),
               v_int(-AGENT_LOG_MAX));

    return db_upsert(m, AGENTS, doc_of("name: ?", v_text(a->name)),
                     once_update(a->asked.request_id, changes));
}

enum err mongo_agent_put(struct store *s, const struct agent_put *a)
{
    struct mongo *m = mongo_of(s);
    int64_t updated_ms = 0;

    if (!is_known(m, a, &updated_ms))
        return put(m, a);
    return mongo_renew_age(m, AGENTS, &a->name, 1, updated_ms);
}

enum err mongo_queue_serves(struct store *s, struct text queue, const json_t *exclude, bool *ret)
{
    struct db_found f;
    enum err e = db_get(mongo_of(s), AGENTS,
                        doc_of("queues: ?, name: {$nin: ?}", v_text(queue), v_json(exclude)),
                        "_id: true", &f);

    if (e && e != ERR_NOT_FOUND)
        return e;
    *ret = !e;
    db_end(&f);
    return ERR_OK;
}
