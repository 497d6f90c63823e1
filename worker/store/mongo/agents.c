/* Agents and queues. */
#include "worker/store/mongo/db.h"

#include "common/clock.h"
#include "worker/jobs/agent_log.h"

/* Whether the log lines of a repeat were stored by the first try. Agents have no field for request
 * ids (their documents are shown as they are), so this is told by the lines. */
static enum err log_stored(struct mongo *m, const struct agent_put *a, bool *ret)
{
    struct db_found f;
    enum err e = db_get(m, AGENTS, doc_of("name: ?", v_text(a->name)), "log: true", &f);

    *ret = false;
    if (e)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    json_t *log = doc_json(&f.doc, "log");
    *ret = log && agent_log_holds(log, a->log);
    json_decref(log);
    db_end(&f);
    return ERR_OK;
}

enum err mongo_agent_put(struct store *s, const struct agent_put *a)
{
    bool stored = false;
    enum err e = ERR_OK;

    if (a->asked.repeat && json_array_size(a->log))
        e = log_stored(mongo_of(s), a, &stored);
    if (e)
        return e;
    bool none = stored || !a->log;
    return db_upsert(mongo_of(s), AGENTS, doc_of("name: ?", v_text(a->name)),
                     doc_of("$set: {?, updated_at: ?}, $push: {log: {$each: ?, $slice: ?}}",
                            v_json(a->fields), v_date(clock_wall_us() / 1000),
                            none ? v_texts(NULL, 0) : v_json(a->log), v_int(-AGENT_LOG_MAX)));
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
