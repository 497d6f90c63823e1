/* Agents and queues. */
#include "worker/store/mongo/db.h"

#include "worker/store/mongo/once.h"

/* What the server keeps in the document of an agent beside its fields. */
enum { OWN_NAMES = 5 };

/* An expression: the fields whose names nobody knows, none of them where they become too many. */
static struct doc_value extra_of(const struct agent_put *a)
{
    if (!json_object_size(a->extra))
        return v_own(bson_new());
    return v_own(doc_of("$cond: [{$gt: [{$size: {$objectToArray: {$mergeObjects: ['$$ROOT', "
                        "{$literal: ?}]}}}, ?]}, {}, {$literal: ?}]",
                        v_json(a->extra), v_int(AGENT_NAMES_MAX + OWN_NAMES), v_json(a->extra)));
}

enum err mongo_agent_put(struct store *s, const struct agent_put *a)
{
    bson_t *changes =
        doc_of("$mergeObjects: [?, {$literal: ?}, {updated_at: ?, log: {$slice: [{$concatArrays: [{"
               "$ifNull: ['$log', []]}, {$literal: ?}]}, ?]}}]",
               extra_of(a), v_json(a->fields), v_date(mongo_now_ms(mongo_of(s))),
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
