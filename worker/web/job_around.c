#include "worker/web/job_around.h"

#include "common/op.h"
#include "worker/encoding/json_string.h"
#include "worker/web/job_row.h"
#include "worker/web/values.h"
#include "worker/web/visitor.h"

#include <string.h>

#define CHILDREN_MAX 50
#define EVENTS_MAX   100
#define AUDIT_SHOWN  20

/* ---- earlier attempts ---- */

/* [{phase, code}] of the exit codes. */
static json_t *codes_of(const json_t *status)
{
    json_t *all = json_array(), *code;
    const char *phase;

    json_object_foreach ((json_t *)(uintptr_t)status, phase, code)
        json_array_append_new(all,
                              json_pack("{s:s, s:o}", "phase", phase, "code", page_value(code)));
    return all;
}

static json_t *attempt(const json_t *one, size_t number)
{
    struct text agent = json_string_text(json_object_get(one, "agent"));
    const json_t *status = json_object_get(one, "status");

    return json_pack(
        "{s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "number", (json_int_t)number, "agent",
        page_text(agent), "agent_url", agent.len ? page_url("/agents/", agent, "") : json_null(),
        "created", page_time_of(json_object_get(one, "created_at")), "started",
        page_time_of(json_object_get(one, "started_at")), "outcome",
        job_outcome(json_object_get(one, "job_state"), status, NULL), "codes", codes_of(status));
}

static enum err add_attempts(struct call *c, const struct job_parts *p, json_t *around)
{
    json_t *attempts = NULL, *all = json_array(), *one;
    size_t i;
    enum err e = store_job_attempts(c->store, p->id, &attempts);

    json_array_foreach (attempts, i, one)
        json_array_append_new(all, attempt(one, i + 1));
    size_t n = json_array_size(all);
    json_object_set_new(around, "attempt", n ? json_integer((json_int_t)n + 1) : json_null());
    json_object_set_new(around, "has_attempts", json_boolean(n > 0));
    json_object_set_new(around, "attempts", all);
    json_decref(attempts);
    return e;
}

/* ---- parent and children ---- */

static enum err add_family(struct call *c, const struct job_parts *p, json_t *around)
{
    const json_t *parent = json_object_get(p->data, "parent_job_id");
    json_t *ids = NULL, *jobs = NULL, *children = json_array(), *id;
    size_t i, n = 0;
    enum err e = store_job_children(c->store, p->id, CHILDREN_MAX + 1, &ids);

    n = json_array_size(ids);
    if (n > CHILDREN_MAX)
        json_array_remove(ids, CHILDREN_MAX);
    if (!e && json_is_string(parent))
        json_array_append(ids, (json_t *)(uintptr_t)parent);
    if (!e && json_array_size(ids))
        e = jobs_read_ids(c->store, ids, &jobs);
    json_array_foreach (ids, i, id) {
        const json_t *job = json_object_get(jobs, json_string_value(id));
        if (job && i < n && i < CHILDREN_MAX)
            json_array_append_new(children, job_row(job));
    }
    const json_t *found =
        json_is_string(parent) ? json_object_get(jobs, json_string_value(parent)) : NULL;
    json_object_set_new(around, "parent", found ? job_row(found) : json_null());
    json_object_set_new(around, "has_children", json_boolean(json_array_size(children) > 0));
    json_object_set_new(around, "children", children);
    json_object_set_new(around, "has_more_children", json_boolean(n > CHILDREN_MAX));
    json_decref(ids);
    json_decref(jobs);
    return e;
}

/* ---- events for webhooks ---- */

static json_t *event(const json_t *one)
{
    const char *state = json_string_value(json_object_get(one, "state"));
    bool dead = state && strcmp(state, "dead") == 0;
    bool delivered = state && strcmp(state, "delivered") == 0;
    json_int_t status = json_integer_value(json_object_get(one, "status"));

    return json_pack("{s:o, s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "receiver",
                     page_short(json_object_get(one, "receiver"), CELL_MAX), "word",
                     dead        ? "given up"
                     : delivered ? "delivered"
                                 : "waits",
                     "class",
                     dead        ? "bad"
                     : delivered ? "good"
                                 : "busy",
                     "tries", page_value(json_object_get(one, "tries")), "status",
                     status ? json_integer(status) : json_null(), "reason",
                     page_short(json_object_get(one, "reason"), CELL_MAX), "came",
                     page_time_of(json_object_get(one, "created_ms")), "since",
                     page_time_of(json_object_get(one, "at_ms")));
}

static json_int_t came_of(const json_t *one)
{
    return json_integer_value(json_object_get(one, "created_ms"));
}

/* Oldest first; the store gives them in any order. */
static enum err add_events(struct call *c, const struct job_parts *p, json_t *around)
{
    json_t *found = NULL, *sorted = json_array(), *all = json_array(), *one;
    size_t i;
    enum err e = store_outbox_of_job(c->store, p->id, EVENTS_MAX, &found);

    json_array_foreach (found, i, one) {
        size_t at = json_array_size(sorted);
        while (at > 0 && came_of(json_array_get(sorted, at - 1)) > came_of(one))
            at--;
        json_array_insert(sorted, at, one);
    }
    json_array_foreach (sorted, i, one)
        json_array_append_new(all, event(one));
    json_object_set_new(around, "has_events", json_boolean(json_array_size(all) > 0));
    json_object_set_new(around, "events", all);
    json_decref(sorted);
    json_decref(found);
    return e;
}

/* ---- audit ---- */

static enum err add_audit(struct call *c, const struct job_parts *p, json_t *around)
{
    bool cut = false;
    const struct audit_query query = {.target = p->id, .limit = AUDIT_SHOWN, .cut = &cut};
    json_t *entries = NULL, *all = json_array(), *one;
    size_t i;
    enum err e =
        visitor_may(c, OP_PAGE_AUDIT) ? store_audit_list(c->store, &query, &entries) : ERR_OK;

    json_array_foreach (entries, i, one)
        json_array_append_new(all, json_pack("{s:o, s:o, s:o, s:o}", "at",
                                             page_date(json_object_get(one, "at")), "actor",
                                             page_value(json_object_get(one, "actor")), "action",
                                             page_value(json_object_get(one, "action")), "detail",
                                             page_short(json_object_get(one, "detail"), CELL_MAX)));
    json_object_set_new(around, "has_audit", json_boolean(json_array_size(all) > 0));
    json_object_set_new(around, "audit", all);
    json_decref(entries);
    return e;
}

enum err job_around(struct call *c, const struct job_parts *p, json_t **ret)
{
    json_t *around = json_object();
    enum err e = add_attempts(c, p, around);

    if (!e)
        e = add_family(c, p, around);
    if (!e)
        e = add_events(c, p, around);
    if (!e)
        e = add_audit(c, p, around);
    *ret = around;
    return e;
}
