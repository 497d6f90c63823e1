/* Lists of queues and agents, and the provision logs. */
#include "common/mem.h"
#include "worker/encoding/json_string.h"
#include "worker/store/mongo/age.h"
#include "worker/store/mongo/agent_jobs.h"
#include "worker/store/mongo/once.h"

#include <stdlib.h>

#define STATEMENTS_MAX 500 /* in one command */

/* Sets a field of each queue, by name: {NAME: VALUE, ...}. `at_ms` not 0: updated_at, too. */
static enum err put_queues(struct mongo *m, const char *request_id, const json_t *values,
                           const char *field, int64_t at_ms)
{
    struct db_batch b = DB_BATCH(QUEUES);
    const char *name;
    json_t *value;
    enum err e = ERR_OK;

    b.twice = true;
    json_object_foreach ((json_t *)(uintptr_t)values, name, value) {
        bson_t *changes = doc_of("?: {$literal: ?}, updated_at: ?", v_str(field), v_json(value),
                                 at_ms ? v_date(at_ms) : v_none());
        DB_ADD_UPDATE(&b, .filter = doc_of("name: ?", v_str(name)),
                      .update = once_update(request_id, changes), .upsert = true);
        if (b.n == STATEMENTS_MAX && (e = db_run(m, &b, NULL)))
            break;
    }
    if (!e)
        e = db_run(m, &b, NULL);
    db_drop(&b);
    return e == ERR_CONFLICT ? ERR_UNAVAILABLE : e;
}

/* What is known of the queues that n posts describe: {NAME: [TEXT, aged], ...}; nothing where it
 * cannot be read. */
static json_t *read_described(struct mongo *m, const struct queues_put *puts, size_t n)
{
    json_t *all = json_object(), *known = json_object();
    struct text *names;
    size_t len = 0;
    struct db_found f;
    const char *name;
    json_t *value;

    for (size_t i = 0; i < n; i++)
        json_object_update(all, (json_t *)(uintptr_t)puts[i].descriptions);
    names = mem_alloc((json_object_size(all) + 1) * sizeof *names);
    json_object_foreach (all, name, value)
        names[len++] = (struct text){name, strlen(name)};
    bool found = len && !DB_FIND(m, &f, .collection = QUEUES,
                                 .filter = doc_of("name: {$in: ?}", v_texts(names, len)),
                                 .fields = "name: true, description: true, updated_at: true",
                                 .index = IX_QUEUE_NAME, .limit = (int)len);
    free(names);
    json_decref(all);
    while (found && db_next(&f)) {
        struct text queue = doc_text(&f.doc, "name"), text = doc_text(&f.doc, "description");
        if (text.s)
            json_object_setn_new(known, queue.s, queue.len,
                                 json_pack("[s%, b]", text.s, text.len,
                                           mongo_is_aged(m, doc_date(&f.doc, "updated_at"))));
    }
    if (found)
        db_end(&f);
    return known;
}

/* The descriptions of a post that are not known. The ages of others, where they are to be renewed,
 * go to `aged`. */
static json_t *left_of(const struct queues_put *p, const json_t *known, json_t *aged)
{
    json_t *left = json_object(), *text;
    const char *name;

    json_object_foreach ((json_t *)(uintptr_t)p->descriptions, name, text) {
        const json_t *entry = json_object_get(known, name);
        if (p->asked.repeat || !entry || !json_equal(json_array_get(entry, 0), text))
            json_object_set(left, name, text);
        else if (json_is_true(json_array_get(entry, 1)))
            json_object_set_new(aged, name, json_true());
    }
    return left;
}

static enum err renew_ages(struct mongo *m, json_t *aged)
{
    struct text *names = mem_alloc((json_object_size(aged) + 1) * sizeof *names);
    size_t len = 0;
    const char *name;
    json_t *value;

    json_object_foreach (aged, name, value)
        names[len++] = (struct text){name, strlen(name)};
    enum err e = mongo_renew_age(m, QUEUES, names, len);
    free(names);
    return e;
}

/* Puts what the first posts change, up to one that changes something: what is known holds no longer
 * for those behind it. Returns the number of posts done. */
static size_t describe_some(struct mongo *m, struct queues_put *puts, size_t n)
{
    json_t *known = read_described(m, puts, n), *aged = json_object();
    bool changed = false;
    size_t done = 0;

    for (; done < n && !changed; done++) {
        struct queues_put *p = &puts[done];
        json_t *left = left_of(p, known, aged);
        changed = json_object_size(left) > 0;
        p->err = put_queues(m, p->asked.request_id, left, "description", mongo_now_ms(m));
        json_decref(left);
    }
    enum err e = renew_ages(m, aged);
    for (size_t i = 0; e && i < done; i++)
        puts[i].err = puts[i].err ? puts[i].err : e;
    json_decref(known);
    json_decref(aged);
    return done;
}

enum err mongo_queues_describe(struct store *s, struct queues_put *puts, size_t n)
{
    size_t size = 0, done = 0;

    for (size_t i = 0; i < n; i++)
        size += json_object_size(puts[i].descriptions);
    while (done < n) /* a query of many names takes long: then each by itself */
        done += describe_some(mongo_of(s), puts + done, size > STATEMENTS_MAX ? 1 : n - done);
    return ERR_OK;
}

enum err mongo_images_put(struct store *s, const struct asked *asked, const json_t *images)
{
    return put_queues(mongo_of(s), asked->request_id, images, "images", 0);
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

enum err mongo_images_get(struct store *s, struct text queue, json_t **ret)
{
    struct db_found f;
    enum err e = db_get(mongo_of(s), QUEUES, doc_of("name: ?", v_text(queue)), NULL, &f);

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

    json_object_set_new(agent, "updated_at", doc_time(doc, "updated_at")); /* NULL: not set */
    json_object_del(agent, "log");
    json_object_del(agent, "requests");
    json_object_del(agent, AGENT_CLAIMED);
    json_object_del(agent, AGENT_HEARD);
    json_object_set_new(agent, AGENT_SILENT, json_boolean(doc_bool(doc, AGENT_SILENT)));
    if (!json_is_string(json_object_get(agent, "submitted_by")))
        json_object_del(agent, "submitted_by");
    return agent;
}

enum err mongo_agents_list(struct store *s, struct text queue, const struct name_walk *w)
{
    bson_t *filter = doc_of("queues: ?", v_given(queue));
    const struct mongo_names names = {.collection = AGENTS,
                                      .key = "name",
                                      .sort = "name: 1",
                                      .filter = filter,
                                      .fields = "log: false, requests: false",
                                      .index = queue.s ? IX_AGENT_QUEUE : IX_NONE,
                                      .make = agent_shown};
    enum err e = mongo_walk_names(mongo_of(s), &names, w);

    bson_destroy(filter);
    return e;
}

/* Fills those of the reads that one batch brings; *ret_more, unless NULL: it had no
 * room for others. */
static enum err read_agents(struct mongo *m, struct agent_read *reads, size_t n, bool *ret_more)
{
    struct text *names = mem_alloc(n * sizeof *names);
    struct db_found f;

    for (size_t i = 0; i < n; i++)
        names[i] = reads[i].name;
    enum err e =
        DB_FIND(m, &f, .collection = AGENTS, .filter = doc_of("name: {$in: ?}", v_texts(names, n)),
                .fields = "log: false, requests: false", .index = IX_AGENT, .limit = (int)n,
                .more = ret_more);
    free(names);
    while (!e && db_next(&f)) {
        struct text name = doc_text(&f.doc, "name");
        for (size_t i = 0; i < n; i++)
            if (!reads[i].agent && text_equal(reads[i].name, name)) {
                reads[i].agent = agent_shown(&f.doc);
                reads[i].err = ERR_OK;
            }
    }
    db_end(&f);
    return e;
}

enum err mongo_agents_get(struct store *s, struct agent_read *reads, size_t n)
{
    struct mongo *m = mongo_of(s);

    for (size_t i = 0; i < n; i++) {
        reads[i].agent = NULL;
        reads[i].err = ERR_NOT_FOUND;
    }
    bool more = false;
    enum err e = read_agents(m, reads, n, &more);
    for (size_t i = 0; !e && more && i < n; i++) {
        enum err one = reads[i].agent ? ERR_OK : read_agents(m, &reads[i], 1, NULL);
        if (one)
            reads[i].err = one;
    }
    return e;
}

/* ---- wait times ---- */

/* The newest entries of a list that other servers may let grow. */
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

/* Appends the entry, unless the document has it. */
static enum err log_entry(struct mongo *m, const struct provision_entry *p)
{
    int64_t now = mongo_now_ms(m);
    struct db_batch b = DB_BATCH(PROVISION_LOGS);

    b.twice = true;
    DB_ADD_UPDATE(&b,
                  .filter = doc_of("name: ?, provision_log.request: {$ne: ?}", v_text(p->agent),
                                   v_str(p->request_id)),
                  .update = doc_of("$set: {?, timestamp: ?}, $push: {provision_log: {"
                                   "$each: [{?, timestamp: ?, request: ?}], $slice: ?}}",
                                   v_json(p->fields), v_date(now), v_json(p->fields), v_date(now),
                                   v_str(p->request_id), v_int(-PROVISION_LOG_MAX)),
                  .upsert = true);
    enum err e = db_run(m, &b, NULL);
    return e == ERR_CONFLICT ? ERR_OK : e; /* the second time: the document has the entry */
}

enum err mongo_provision_add(struct store *s, const struct provision_entry *p)
{
    struct mongo *m = mongo_of(s);
    const char *type = p->failed ? "fail" : "pass";
    enum err e = log_entry(m, p);

    if (e)
        return e;
    return db_set(m, AGENTS, doc_of("name: ?", v_text(p->agent)),
                  once_update(p->request_id, doc_of("provision_streak_count: {$cond: [{$eq: "
                                                    "['$provision_streak_type', ?]}, {$add: "
                                                    "['$provision_streak_count', 1]}, 1]}, "
                                                    "provision_streak_type: ?",
                                                    v_str(type), v_str(type))));
}
