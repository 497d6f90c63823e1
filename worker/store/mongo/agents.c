/* Agents and queues. */
#include "worker/store/mongo/db.h"

#include "worker/store/mongo/once.h"

enum err mongo_agent_put(struct store *s, const struct agent_put *a)
{
    bson_t *changes = doc_of(
        "$mergeObjects: [{$literal: ?}, {updated_at: ?, log: {$slice: [{$concatArrays: [{$ifNull: "
        "['$log', []]}, {$literal: ?}]}, ?]}}]",
        v_json(a->fields), v_date(mongo_now_ms(mongo_of(s))),
        a->log ? v_json(a->log) : v_texts(NULL, 0), v_int(-AGENT_LOG_MAX));

    return db_upsert(mongo_of(s), AGENTS, doc_of("name: ?", v_text(a->name)),
                     once_update(a->asked.request_id, changes));
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
