/* Agents and queues. */
#include "worker/store/mongo/age.h"
#include "worker/store/mongo/db.h"

#include "common/mem.h"

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

/* Whether a post may change nothing. A repeat is not looked at: where its first run changed
 * something, the agent's document has its request. */
static bool may_be_known(const struct agent_put *a)
{
    return !a->asked.repeat && !json_array_size(a->log);
}

/* Marks the posts that change nothing but perhaps the age, of each agent the first at most. Renews
 * ages. Where the agents cannot be read, none is marked. */
static enum err find_known(struct mongo *m, const struct agent_put *puts, size_t n, bool *known)
{
    struct text *names = mem_alloc((n + 1) * sizeof *names), *aged = names;
    size_t len = 0, aged_len = 0;
    struct db_found f;

    for (size_t i = 0; i < n; i++)
        if (may_be_known(&puts[i]))
            names[len++] = puts[i].name;
    enum err e =
        len ? DB_FIND(m, &f, .collection = AGENTS,
                      .filter = doc_of("name: {$in: ?}", v_texts(names, len)),
                      .fields = "log: false, requests: false", .index = IX_AGENT, .limit = (int)len)
            : ERR_NOT_FOUND;
    while (!e && db_next(&f)) {
        struct text name = doc_text(&f.doc, "name");
        size_t i = 0;
        while (i < n && !text_equal(puts[i].name, name))
            i++;
        json_t *agent = doc_object(&f.doc);
        known[i] = i < n && may_be_known(&puts[i]) && agent_put_is_known(agent, &puts[i]);
        if (known[i] && mongo_is_aged(m, doc_date(&f.doc, "updated_at")))
            aged[aged_len++] = puts[i].name;
        json_decref(agent);
    }
    e = e ? ERR_OK : mongo_renew_age(m, AGENTS, aged, aged_len);
    free(names);
    if (len)
        db_end(&f);
    return e;
}

enum err mongo_agents_put(struct store *s, struct agent_put *puts, size_t n)
{
    struct mongo *m = mongo_of(s);
    bool *known = mem_alloc((n + 1) * sizeof *known);
    enum err e = find_known(m, puts, n, known);

    for (size_t i = 0; !e && i < n; i++)
        puts[i].err = known[i] ? ERR_OK : put(m, &puts[i]);
    free(known);
    return e;
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
