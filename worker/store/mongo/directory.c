/* Queues and agents as they are listed, and their provision logs. */
#include "worker/store/mongo/db.h"

#include "common/clock.h"

#define STATEMENTS_MAX 500 /* in one command */

/* Sets a field of each queue, by name: {NAME: VALUE, ...}. `at_ms` not 0: updated_at, too. */
static enum err put_queues(struct mongo *m, const json_t *values, const char *field, int64_t at_ms)
{
    struct db_batch b = DB_BATCH(QUEUES);
    const char *name;
    json_t *value;
    enum err e = ERR_OK;

    b.twice = true;
    json_object_foreach ((json_t *)(uintptr_t)values, name, value) {
        bson_t *update = doc_of("$set: {?: ?, updated_at: ?}", v_str(field), v_json(value),
                                at_ms ? v_date(at_ms) : v_none());
        DB_ADD_UPDATE(&b, .filter = doc_of("name: ?", v_str(name)), .update = update,
                      .upsert = true);
        if (b.n == STATEMENTS_MAX && (e = db_run(m, &b, NULL)))
            break;
    }
    if (!e)
        e = db_run(m, &b, NULL);
    db_drop(&b);
    return e == ERR_CONFLICT ? ERR_UNAVAILABLE : e;
}

enum err mongo_queues_describe(struct store *s, const json_t *descriptions)
{
    return put_queues(mongo_of(s), descriptions, "description", clock_wall_us() / 1000);
}

enum err mongo_images_put(struct store *s, const json_t *images)
{
    return put_queues(mongo_of(s), images, "images", 0);
}

static json_t *description_of(const bson_t *doc)
{
    json_t *description = doc_json(doc, "description");

    return description ? description : json_string("");
}

enum err mongo_queues_list(struct store *s, const struct name_walk *w)
{
    const struct mongo_names names = {.collection = QUEUES,
                                      .key = "name",
                                      .sort = "name: 1",
                                      .fields = "name: true, description: true",
                                      .make = description_of};

    return mongo_walk_names(mongo_of(s), &names, w);
}

/* The first document with this name. ERR_NOT_FOUND. */
static enum err find_named(struct mongo *m, const char *collection, struct text name,
                           struct db_found *ret)
{
    return db_get(m, collection, doc_of("name: ?", v_text(name)), NULL, ret);
}

enum err mongo_images_get(struct store *s, struct text queue, json_t **ret)
{
    struct db_found f;
    enum err e = find_named(mongo_of(s), QUEUES, queue, &f);

    if (e && e != ERR_NOT_FOUND)
        return e;
    json_t *images = e ? NULL : doc_json(&f.doc, "images");
    *ret = json_is_object(images) ? images : json_object();
    if (images != *ret)
        json_decref(images);
    db_end(&f);
    return ERR_OK;
}

/* ---- agents ---- */

static json_t *agent_shown(const bson_t *doc)
{
    json_t *agent = doc_object(doc);

    json_object_del(agent, "log");
    return agent;
}

enum err mongo_agents_list(struct store *s, struct text queue, const struct name_walk *w)
{
    bson_t *filter = doc_of("queues: ?", v_given(queue));
    const struct mongo_names names = {.collection = AGENTS,
                                      .key = "name",
                                      .sort = "name: 1",
                                      .filter = filter,
                                      .fields = "log: false",
                                      .index = queue.s ? IX_AGENT_QUEUE : IX_NONE,
                                      .make = agent_shown};
    enum err e = mongo_walk_names(mongo_of(s), &names, w);

    bson_destroy(filter);
    return e;
}

enum err mongo_agent_get(struct store *s, struct text name, json_t **ret)
{
    struct db_found f;
    enum err e = find_named(mongo_of(s), AGENTS, name, &f);

    if (!e)
        *ret = agent_shown(&f.doc);
    db_end(&f);
    return e;
}

/* ---- wait times ---- */

/* The newest of a list that other servers let grow. */
#define NEWEST_WAITS    "wait_times: {$slice: -" TEXT(WAIT_TIMES_MAX) "}"
#define TEXT(number)    TEXT_OF(number)
#define TEXT_OF(number) #number

static json_t *waits_of(const bson_t *doc)
{
    return doc_json(doc, "wait_times"); /* an array, by the filter */
}

enum err mongo_wait_times(struct store *s, const struct text *queues, size_t n,
                          const struct name_walk *w)
{
    bson_t *filter = doc_of("wait_times: {$type: 'array'}");
    const struct mongo_names names = {.collection = WAIT_TIMES,
                                      .key = "name",
                                      .sort = "name: 1",
                                      .filter = filter,
                                      .in = queues,
                                      .in_len = n,
                                      .fields = "name: true, " NEWEST_WAITS,
                                      .make = waits_of};
    enum err e = mongo_walk_names(mongo_of(s), &names, w);

    bson_destroy(filter);
    return e;
}

/* ---- provision logs ---- */

/* Appends the entry. *ret_new false: a repeat found it there. */
static enum err log_entry(struct mongo *m, const struct provision_entry *p, bool *ret_new)
{
    int64_t now = clock_wall_us() / 1000;
    bson_t *others = p->repeat ? doc_of("$ne: ?", v_str(p->request_id)) : NULL;
    struct db_batch b = DB_BATCH(PROVISION_LOGS);

    b.twice = !p->repeat; /* the document came to be just now */
    DB_ADD_UPDATE(&b,
                  .filter = doc_of("name: ?, provision_log.request: ?", v_text(p->agent),
                                   others ? v_own(others) : v_none()),
                  .update = doc_of("$set: {?, timestamp: ?}, $push: {provision_log: {"
                                   "$each: [{?, timestamp: ?, request: ?}], $slice: ?}}",
                                   v_json(p->fields), v_date(now), v_json(p->fields), v_date(now),
                                   v_str(p->request_id), v_int(-PROVISION_LOG_MAX)),
                  .upsert = true);
    enum err e = db_run(m, &b, NULL);
    *ret_new = !(p->repeat && e == ERR_CONFLICT); /* then the document has the entry */
    return *ret_new ? e : ERR_OK;
}

enum err mongo_provision_add(struct store *s, const struct provision_entry *p)
{
    struct mongo *m = mongo_of(s);
    const char *type = p->failed ? "fail" : "pass";
    struct db_found f;
    bool fresh = true;
    enum err e = log_entry(m, p, &fresh);

    if (e)
        return e;
    if (!fresh) {
        e = find_named(m, AGENTS, p->agent, &f);
        db_end(&f);
        return e;
    }
    return db_set(m, AGENTS, doc_of("name: ?", v_text(p->agent)),
                  doc_of("[{$set: {provision_streak_count: {$cond: ["
                         "{$eq: ['$provision_streak_type', ?]}, "
                         "{$add: ['$provision_streak_count', 1]}, 1]}, provision_streak_type: ?}}]",
                         v_str(type), v_str(type)));
}
