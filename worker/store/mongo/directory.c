/* Queues and agents as they are listed, and their provision logs. */
#include "worker/store/mongo/mongo.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "worker/store/mongo/bsonjson.h"

#include <stdlib.h>
#include <string.h>

#define STATEMENTS_MAX 500 /* in one command */

/* Sets a field of each queue, by name: {NAME: VALUE, ...}. `at_ms` not 0: updated_at, too. */
static enum err put_queues(struct mongo *m, const json_t *values, const char *field, int64_t at_ms)
{
    bson_t updates = BSON_INITIALIZER;
    const char *name;
    json_t *value;
    size_t n = 0, left = json_object_size(values), done = 0;
    enum err e = ERR_OK;

    json_object_foreach ((json_t *)(uintptr_t)values, name, value) {
        bson_t filter = BSON_INITIALIZER, update = BSON_INITIALIZER, set;
        struct mongo_change change = {.filter = &filter, .update = &update, .upsert = true};
        struct mongo_changed changed;
        BSON_APPEND_UTF8(&filter, "name", name);
        BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set);
        if (!bsonjson_append(&set, field, strlen(field), value))
            e = ERR_INVALID;
        if (at_ms)
            BSON_APPEND_DATE_TIME(&set, "updated_at", at_ms);
        bson_append_document_end(&update, &set);
        mongo_change_append(&updates, n++, &change);
        bson_destroy(&filter);
        bson_destroy(&update);
        left--;
        if (e || (left && n < STATEMENTS_MAX))
            continue;
        e = mongo_update_many(m, QUEUES, &updates, n, &changed, &done);
        if (!e && done < n) /* another made the same queue just now: once more */
            e = mongo_update_many(m, QUEUES, &updates, n, &changed, &done);
        if (!e && done < n)
            e = ERR_UNAVAILABLE;
        bson_reinit(&updates);
        n = 0;
    }
    bson_destroy(&updates);
    return e;
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
    bson_iter_t it;

    return bson_iter_init_find(&it, doc, "description") ? bsonjson_value(&it) : json_string("");
}

enum err mongo_queues_list(struct store *s, const struct name_walk *w)
{
    bson_t projection = BSON_INITIALIZER;
    const struct mongo_names names = {
        .collection = QUEUES, .key = "name", .projection = &projection, .make = description_of};

    BSON_APPEND_BOOL(&projection, "name", true);
    BSON_APPEND_BOOL(&projection, "description", true);
    enum err e = mongo_walk_names(mongo_of(s), &names, w);
    bson_destroy(&projection);
    return e;
}

/* The first document with this name. ERR_NOT_FOUND. */
static enum err find_named(struct mongo *m, const char *collection, struct text name,
                           bson_t *ret_reply, bson_t *ret_doc)
{
    bson_t filter = BSON_INITIALIZER;
    struct mongo_query q = {.collection = collection, .filter = &filter, .limit = 1};
    bson_iter_t batch;

    mongo_append_text(&filter, "name", name);
    enum err e = mongo_find(m, &q, ret_reply, &batch);
    bson_destroy(&filter);
    if (e)
        return e;
    if (mongo_next(&batch, ret_doc))
        return ERR_OK;
    bson_destroy(ret_reply);
    return ERR_NOT_FOUND;
}

enum err mongo_images_get(struct store *s, struct text queue, json_t **ret)
{
    bson_t reply, doc;
    bson_iter_t it;
    enum err e = find_named(mongo_of(s), QUEUES, queue, &reply, &doc);

    if (e && e != ERR_NOT_FOUND)
        return e;
    bool has = !e && bson_iter_init_find(&it, &doc, "images") && BSON_ITER_HOLDS_DOCUMENT(&it);
    *ret = has ? bsonjson_value(&it) : json_object();
    if (!e)
        bson_destroy(&reply);
    return ERR_OK;
}

/* ---- agents ---- */

static json_t *agent_shown(const bson_t *doc)
{
    json_t *agent = json_object();
    bson_iter_t it;

    if (bson_iter_init(&it, doc))
        while (bson_iter_next(&it))
            if (strcmp(bson_iter_key(&it), "_id") != 0 && strcmp(bson_iter_key(&it), "log") != 0)
                json_object_set_new(agent, bson_iter_key(&it), bsonjson_value(&it));
    return agent;
}

enum err mongo_agents_list(struct store *s, struct text queue, const struct name_walk *w)
{
    bson_t filter = BSON_INITIALIZER, projection = BSON_INITIALIZER, hint = BSON_INITIALIZER;
    struct mongo_names names = {.collection = AGENTS,
                                .key = "name",
                                .filter = &filter,
                                .projection = &projection,
                                .make = agent_shown};

    BSON_APPEND_BOOL(&projection, "log", false);
    BSON_APPEND_INT32(&hint, "queues", 1);
    BSON_APPEND_INT32(&hint, "name", 1);
    if (queue.s) {
        mongo_append_text(&filter, "queues", queue);
        names.hint = &hint;
    }
    enum err e = mongo_walk_names(mongo_of(s), &names, w);
    bson_destroy(&filter);
    bson_destroy(&projection);
    bson_destroy(&hint);
    return e;
}

enum err mongo_agent_get(struct store *s, struct text name, json_t **ret)
{
    bson_t reply, doc;
    enum err e = find_named(mongo_of(s), AGENTS, name, &reply, &doc);

    if (e)
        return e;
    *ret = agent_shown(&doc);
    bson_destroy(&reply);
    return ERR_OK;
}

/* ---- wait times ---- */

static json_t *waits_of(const bson_t *doc)
{
    bson_iter_t it;

    return bson_iter_init_find(&it, doc, "wait_times") && BSON_ITER_HOLDS_ARRAY(&it)
               ? bsonjson_value(&it)
               : json_array();
}

enum err mongo_wait_times(struct store *s, const struct text *queues, size_t n,
                          const struct name_walk *w)
{
    bson_t in = BSON_INITIALIZER, filter = BSON_INITIALIZER, *projection;
    struct mongo_names names = {
        .collection = WAIT_TIMES, .key = "name", .filter = &filter, .make = waits_of};
    char key[MONGO_INDEX_SIZE];

    for (size_t i = 0; i < n; i++)
        mongo_append_text(&in, mongo_index(i, key), queues[i]);
    if (n)
        names.in = &in;
    BCON_APPEND(&filter, "wait_times", "{", "$type", "array", "}");
    /* the newest of a list that other servers let grow */
    projection = BCON_NEW("name", BCON_BOOL(true), "wait_times", "{", "$slice",
                          BCON_INT32(-WAIT_TIMES_MAX), "}");
    names.projection = projection;
    enum err e = mongo_walk_names(mongo_of(s), &names, w);
    bson_destroy(&in);
    bson_destroy(&filter);
    bson_destroy(projection);
    return e;
}

/* ---- provision logs ---- */

/* Appends the entry. *ret_new false: a repeat found it there. */
static enum err log_entry(struct mongo *m, const struct provision_entry *p, bool *ret_new)
{
    bson_t filter = BSON_INITIALIZER, update = BSON_INITIALIZER, child, push, each, entry;
    struct mongo_change change = {.filter = &filter, .update = &update, .upsert = true};
    int64_t now = clock_wall_us() / 1000;

    mongo_append_text(&filter, "name", p->agent);
    if (p->repeat) {
        BSON_APPEND_DOCUMENT_BEGIN(&filter, "provision_log.request", &child);
        BSON_APPEND_UTF8(&child, "$ne", p->request_id);
        bson_append_document_end(&filter, &child);
    }
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &child);
    bool ok = bsonjson_append_members(&child, p->fields);
    BSON_APPEND_DATE_TIME(&child, "timestamp", now);
    bson_append_document_end(&update, &child);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$push", &child);
    BSON_APPEND_DOCUMENT_BEGIN(&child, "provision_log", &push);
    BSON_APPEND_ARRAY_BEGIN(&push, "$each", &each);
    BSON_APPEND_DOCUMENT_BEGIN(&each, "0", &entry);
    ok = bsonjson_append_members(&entry, p->fields) && ok;
    BSON_APPEND_DATE_TIME(&entry, "timestamp", now);
    BSON_APPEND_UTF8(&entry, "request", p->request_id);
    bson_append_document_end(&each, &entry);
    bson_append_array_end(&push, &each);
    BSON_APPEND_INT32(&push, "$slice", -PROVISION_LOG_MAX);
    bson_append_document_end(&child, &push);
    bson_append_document_end(&update, &child);
    enum err e = ok ? mongo_update(m, PROVISION_LOGS, &change, NULL) : ERR_INTERNAL;
    *ret_new = e != ERR_CONFLICT || !p->repeat;
    if (e == ERR_CONFLICT) /* the document came to be just now, or, of a repeat, has the entry */
        e = p->repeat ? ERR_OK : mongo_update(m, PROVISION_LOGS, &change, NULL);
    bson_destroy(&filter);
    bson_destroy(&update);
    return e;
}

/* [{$set: {provision_streak_count: {$cond: [{$eq: [type, now]}, {$add: [count, 1]}, 1]},
 *          provision_streak_type: now}}] */
static void append_streak(bson_t *pipeline, const char *type)
{
    bson_t stage, set, count, cond, child, list;

    BSON_APPEND_DOCUMENT_BEGIN(pipeline, "0", &stage);
    BSON_APPEND_DOCUMENT_BEGIN(&stage, "$set", &set);
    BSON_APPEND_DOCUMENT_BEGIN(&set, "provision_streak_count", &count);
    BSON_APPEND_ARRAY_BEGIN(&count, "$cond", &cond);
    BSON_APPEND_DOCUMENT_BEGIN(&cond, "0", &child);
    BSON_APPEND_ARRAY_BEGIN(&child, "$eq", &list);
    BSON_APPEND_UTF8(&list, "0", "$provision_streak_type");
    BSON_APPEND_UTF8(&list, "1", type);
    bson_append_array_end(&child, &list);
    bson_append_document_end(&cond, &child);
    BSON_APPEND_DOCUMENT_BEGIN(&cond, "1", &child);
    BSON_APPEND_ARRAY_BEGIN(&child, "$add", &list);
    BSON_APPEND_UTF8(&list, "0", "$provision_streak_count");
    BSON_APPEND_INT32(&list, "1", 1);
    bson_append_array_end(&child, &list);
    bson_append_document_end(&cond, &child);
    BSON_APPEND_INT32(&cond, "2", 1);
    bson_append_array_end(&count, &cond);
    bson_append_document_end(&set, &count);
    BSON_APPEND_UTF8(&set, "provision_streak_type", type);
    bson_append_document_end(&stage, &set);
    bson_append_document_end(pipeline, &stage);
}

enum err mongo_provision_add(struct store *s, const struct provision_entry *p)
{
    bson_t filter = BSON_INITIALIZER, pipeline = BSON_INITIALIZER, reply, doc;
    struct mongo_change change = {.filter = &filter, .update = &pipeline, .pipeline = true};
    struct mongo_changed done = {0};
    bool fresh = true;
    enum err e = log_entry(mongo_of(s), p, &fresh);

    if (!e && !fresh) {
        e = find_named(mongo_of(s), AGENTS, p->agent, &reply, &doc);
        if (!e)
            bson_destroy(&reply);
    } else if (!e) {
        mongo_append_text(&filter, "name", p->agent);
        append_streak(&pipeline, p->failed ? "fail" : "pass");
        e = mongo_update(mongo_of(s), AGENTS, &change, &done);
        if (!e && !done.matched)
            e = ERR_NOT_FOUND;
    }
    bson_destroy(&filter);
    bson_destroy(&pipeline);
    return e;
}
