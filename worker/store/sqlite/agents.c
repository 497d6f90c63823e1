/* Agents, and the queues that they serve. */
#include "worker/store/sqlite/sqlite.h"

#include "worker/encoding/json_string.h"

#include <stdint.h>
#include <stdlib.h>

/* A stored agent. */
struct agent {
    json_t *fields, *log; /* owned */
    bool changed;         /* by this request, before */
};

static void agent_free(struct agent *a)
{
    json_decref(a->fields);
    json_decref(a->log);
}

/* Reads an agent; a new one has no fields and an empty log. Call agent_free() in any case. */
static enum err load(struct sqlite *q, const struct agent_put *a, struct agent *ret)
{
    struct query r = query_new(q, SQL_AGENT);

    query_text(&r, a->name);
    query_str(&r, a->asked.request_id);
    enum err e = query_step(&r);
    if (!e) {
        ret->changed = !query_col_int(&r, 0);
        ret->fields = query_col_json(&r, 1);
        ret->log = query_col_json(&r, 2);
        if (!ret->fields || !ret->log)
            e = ERR_INTERNAL;
    } else if (e == ERR_NOT_FOUND) {
        ret->fields = json_object();
        ret->log = json_array();
        e = ERR_OK;
    }
    query_end(&r);
    return e;
}

static void append_log(json_t *log, json_t *lines)
{
    if (lines)
        json_array_extend(log, lines);
    while (json_array_size(log) > AGENT_LOG_MAX)
        json_array_remove(log, 0);
}

/* Sets fields whose names nobody knows, unless they become too many. */
static void add_extra(json_t *fields, json_t *extra)
{
    json_t *both = json_copy(fields);

    json_object_update(both, extra);
    if (json_object_size(both) <= AGENT_NAMES_MAX)
        json_object_update(fields, extra);
    json_decref(both);
}

/* Stores the agent; *ret_id is its number. */
static enum err store(struct sqlite *q, const struct agent_put *put, const struct agent *a,
                      int64_t *ret_id)
{
    const json_t *job_id = json_object_get(put->fields, "job_id");
    char *fields = NULL, *log = NULL;
    size_t fields_len, log_len;
    enum err e = sqlite_json(a->fields, &fields, &fields_len);

    if (!e)
        e = sqlite_json(a->log, &log, &log_len);
    if (!e && fields_len + log_len > STORE_DOCUMENT_MAX)
        e = ERR_TOO_LARGE;
    if (!e) {
        struct query r = query_new(q, SQL_AGENT_PUT);
        query_text(&r, put->name);
        query_int(&r, sqlite_now_ms(q));
        query_text(&r, (struct text){fields, fields_len});
        query_text(&r, (struct text){log, log_len});
        query_str(&r, put->asked.request_id);
        query_given(&r, json_string_text(job_id));
        e = query_step(&r);
        if (!e)
            *ret_id = query_col_int(&r, 0);
        query_end(&r);
    }
    free(fields);
    free(log);
    return e;
}

/* Lists the agent under its queues. */
static enum err list_queues(struct sqlite *q, int64_t id, const json_t *queues)
{
    struct query drop = query_new(q, SQL_AGENT_QUEUES_DROP);
    enum err e;
    json_t *queue;
    size_t i;

    query_int(&drop, id);
    e = query_run(&drop);
    json_array_foreach (queues, i, queue) {
        struct query add = query_new(q, SQL_AGENT_QUEUE_ADD);
        if (e || !json_is_string(queue))
            continue;
        query_text(&add, json_string_text(queue));
        query_int(&add, id);
        e = query_run(&add);
    }
    return e;
}

static enum err put(struct sqlite *q, const struct agent_put *a)
{
    struct agent agent = {0};
    const json_t *queues = json_object_get(a->fields, "queues");
    int64_t id;
    enum err e = load(q, a, &agent);

    if (!e && !agent.changed) {
        bool other = queues && !json_equal(queues, json_object_get(agent.fields, "queues"));
        json_object_update(agent.fields, a->fields);
        if (json_object_size(a->extra))
            add_extra(agent.fields, a->extra);
        append_log(agent.log, a->log);
        e = store(q, a, &agent, &id);
        if (!e && other)
            e = list_queues(q, id, queues);
    }
    agent_free(&agent);
    return e;
}

/* Whether the post changes nothing but perhaps the age: polling agents must not queue for the write
 * lock. A repeat is not looked at: its first run may have changed something. */
static bool is_known(struct sqlite *q, const struct agent_put *a, int64_t *ret_ms)
{
    bool known = false;

    if (a->asked.repeat || json_array_size(a->log))
        return false;
    struct query r = query_new(q, SQL_AGENT_SHOWN);
    query_text(&r, a->name);
    if (query_step(&r) == ERR_OK) {
        json_t *agent = query_col_json(&r, 2);
        struct text job_id = query_col_text(&r, 3);
        if (job_id.s)
            json_object_set_new(agent, "job_id", json_stringn(job_id.s, job_id.len));
        *ret_ms = query_col_int(&r, 1);
        known = agent && agent_put_is_known(agent, a);
        json_decref(agent);
    }
    query_end(&r);
    return known;
}

static enum err put_one(struct sqlite *q, const struct agent_put *a)
{
    int64_t updated_ms = 0, now = sqlite_now_ms(q);
    bool known = is_known(q, a, &updated_ms);

    if (known && llabs(now - updated_ms) < AGE_MS)
        return ERR_OK;
    enum err e = sqlite_write_begin(q);
    return e ? e : sqlite_write_end(q, put(q, a));
}

enum err sqlite_agents_put(struct store *s, struct agent_put *puts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        puts[i].err = put_one(sqlite_of(s), &puts[i]);
    return ERR_OK;
}

static bool names(const json_t *list, struct text name)
{
    json_t *item;
    size_t i;

    json_array_foreach (list, i, item)
        if (json_is_string(item) && text_equal(name, json_string_text(item)))
            return true;
    return false;
}

enum err sqlite_queue_serves(struct store *s, struct text queue, const json_t *exclude, bool *ret)
{
    struct query r = query_new(sqlite_of(s), SQL_QUEUE_AGENTS);
    enum err e;

    query_text(&r, queue);
    do {
        e = query_step(&r);
    } while (!e && names(exclude, query_col_text(&r, 0)));
    query_end(&r);
    if (e && e != ERR_NOT_FOUND)
        return e;
    *ret = !e;
    return ERR_OK;
}
