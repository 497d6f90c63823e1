/* Queues and agents as they are listed, and their provision logs. */
#include "worker/store_sqlite/sqlite.h"

#include "common/clock.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static enum err describe(struct sqlite *q, const json_t *descriptions)
{
    int64_t now = clock_wall_us() / 1000;
    const char *name;
    json_t *text;
    enum err e = ERR_OK;

    json_object_foreach ((json_t *)(uintptr_t)descriptions, name, text) {
        struct query r;
        if (e)
            continue;
        r = query_new(q, SQL_QUEUE_DESCRIBE);
        query_str(&r, name);
        query_text(&r, (struct text){json_string_value(text), json_string_length(text)});
        query_int(&r, now);
        e = query_run(&r);
    }
    return e;
}

enum err sqlite_queues_describe(struct store *s, const json_t *descriptions)
{
    struct sqlite *q = sqlite_of(s);
    enum err e = sqlite_write_begin(q);

    return e ? e : sqlite_write_end(q, describe(q, descriptions));
}

static enum err put_images(struct sqlite *q, const json_t *images)
{
    const char *name;
    json_t *value;
    enum err e = ERR_OK;

    json_object_foreach ((json_t *)(uintptr_t)images, name, value) {
        char *text = NULL;
        size_t len = 0;
        if (!e)
            e = sqlite_json(value, &text, &len);
        if (e)
            continue;
        struct query r = query_new(q, SQL_IMAGES_PUT);
        query_str(&r, name);
        query_text(&r, (struct text){text, len});
        e = query_run(&r);
        free(text);
    }
    return e;
}

enum err sqlite_images_put(struct store *s, const json_t *images)
{
    struct sqlite *q = sqlite_of(s);
    enum err e = sqlite_write_begin(q);

    return e ? e : sqlite_write_end(q, put_images(q, images));
}

/* Sets a member whose name is a column's text. */
static void set_by_text(json_t *object, struct text name, json_t *value)
{
    char *key = strndup(name.s ? name.s : "", name.len);

    if (!key)
        abort(); /* out of memory, as in mem.c */
    json_object_set_new(object, key, value);
    free(key);
}

static json_t *text_value(struct text t)
{
    json_t *value = json_stringn(t.s ? t.s : "", t.len);

    return value ? value : json_string("");
}

enum err sqlite_queues_list(struct store *s, json_t **ret)
{
    struct query r = query_new(sqlite_of(s), SQL_QUEUES);
    json_t *queues = json_object();
    enum err e;

    query_int(&r, DIRECTORY_MAX);
    while ((e = query_step(&r)) == ERR_OK)
        set_by_text(queues, query_col_text(&r, 0), text_value(query_col_text(&r, 1)));
    query_end(&r);
    if (e != ERR_NOT_FOUND) {
        json_decref(queues);
        return e;
    }
    *ret = queues;
    return ERR_OK;
}

enum err sqlite_images_get(struct store *s, struct text queue, json_t **ret)
{
    struct query r = query_new(sqlite_of(s), SQL_IMAGES);
    json_t *images = NULL;

    query_text(&r, queue);
    enum err e = query_step(&r);
    if (!e && query_col_text(&r, 0).s && !(images = query_col_json(&r, 0)))
        e = ERR_INTERNAL;
    query_end(&r);
    if (e && e != ERR_NOT_FOUND)
        return e;
    *ret = images ? images : json_object();
    return ERR_OK;
}

/* ---- agents ---- */

/* The agent of a row (name, updated_ms, fields); NULL (logged) when it cannot be read. */
static json_t *agent_of(const struct query *r)
{
    json_t *agent = query_col_json(r, 2);
    char date[CLOCK_TEXT_SIZE];

    if (!agent)
        return NULL;
    clock_rfc3339(query_col_int(r, 1), date);
    json_object_set_new(agent, "name", text_value(query_col_text(r, 0)));
    json_object_set_new(agent, "updated_at", json_string(date));
    return agent;
}

enum err sqlite_agents_list(struct store *s, struct text queue, json_t **ret)
{
    struct query r = query_new(sqlite_of(s), queue.s ? SQL_AGENTS_OF_QUEUE : SQL_AGENTS);
    json_t *agents = json_array(), *agent;
    enum err e;

    query_int(&r, DIRECTORY_MAX);
    if (queue.s)
        query_text(&r, queue);
    while ((e = query_step(&r)) == ERR_OK) {
        agent = agent_of(&r);
        if (agent)
            json_array_append_new(agents, agent);
    }
    query_end(&r);
    if (e != ERR_NOT_FOUND) {
        json_decref(agents);
        return e;
    }
    *ret = agents;
    return ERR_OK;
}

enum err sqlite_agent_get(struct store *s, struct text name, json_t **ret)
{
    struct query r = query_new(sqlite_of(s), SQL_AGENT_SHOWN);
    json_t *agent = NULL;

    query_text(&r, name);
    enum err e = query_step(&r);
    if (!e && !(agent = agent_of(&r)))
        e = ERR_INTERNAL;
    query_end(&r);
    if (!e)
        *ret = agent;
    return e;
}

/* ---- wait times ---- */

/* Adds what a statement gives (queue, seconds) to the lists. */
static enum err collect_waits(struct query *r, json_t *waits)
{
    enum err e;

    while ((e = query_step(r)) == ERR_OK) {
        struct text t = query_col_text(r, 0);
        char *queue = strndup(t.s ? t.s : "", t.len);
        if (!queue)
            abort(); /* out of memory, as in mem.c */
        if (!json_object_get(waits, queue))
            json_object_set_new(waits, queue, json_array());
        json_array_append_new(json_object_get(waits, queue), json_integer(query_col_int(r, 1)));
        free(queue);
    }
    query_end(r);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err sqlite_wait_times(struct store *s, const struct text *queues, size_t n, json_t **ret)
{
    struct sqlite *q = sqlite_of(s);
    json_t *waits = json_object();
    enum err e = ERR_OK;

    if (n == 0) {
        struct query all = query_new(q, SQL_WAITS_ALL);
        e = collect_waits(&all, waits);
    }
    for (size_t i = 0; !e && i < n; i++) {
        struct query one = query_new(q, SQL_WAITS);
        query_text(&one, queues[i]);
        bool again = false;
        for (size_t k = 0; k < i; k++)
            again |= sqlite_text_is(queues[k], queues[i]);
        if (again)
            query_end(&one);
        else
            e = collect_waits(&one, waits);
    }
    if (e) {
        json_decref(waits);
        return e;
    }
    *ret = waits;
    return ERR_OK;
}

/* ---- provision logs ---- */

/* Appends the entry. *ret_new false: a repeat found it there. */
static enum err log_entry(struct sqlite *q, const struct provision_entry *p, bool *ret_new)
{
    char *text;
    size_t len;
    enum err e = sqlite_json(p->fields, &text, &len);

    if (e)
        return e;
    struct query add = query_new(q, SQL_PROVISION_ADD);
    query_text(&add, p->agent);
    query_str(&add, p->request_id);
    query_int(&add, clock_wall_us() / 1000);
    query_text(&add, (struct text){text, len});
    e = query_run(&add);
    *ret_new = query_changes(&add) > 0;
    free(text);
    if (e)
        return e;
    struct query cut = query_new(q, SQL_PROVISION_CUT);
    query_text(&cut, p->agent);
    query_int(&cut, PROVISION_LOG_MAX);
    return query_run(&cut);
}

/* *ret_known: there is such an agent. */
static enum err add_entry(struct sqlite *q, const struct provision_entry *p, bool *ret_known)
{
    bool fresh = true;
    enum err e = log_entry(q, p, &fresh);

    if (e)
        return e;
    struct query r = query_new(q, fresh ? SQL_STREAK : SQL_AGENT_TOUCH);
    query_text(&r, p->agent);
    if (fresh)
        query_str(&r, p->failed ? "fail" : "pass");
    e = query_run(&r);
    *ret_known = query_changes(&r) > 0;
    return e;
}

enum err sqlite_provision_add(struct store *s, const struct provision_entry *p)
{
    struct sqlite *q = sqlite_of(s);
    bool known = false;
    enum err e = sqlite_write_begin(q);

    if (!e)
        e = sqlite_write_end(q, add_entry(q, p, &known));
    return !e && !known ? ERR_NOT_FOUND : e;
}
