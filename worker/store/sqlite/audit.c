/* The audit trail, and who submitted a job. */
#include "worker/store/sqlite/sqlite.h"

#include "common/clock.h"

#include <stdlib.h>

static enum err add(struct sqlite *q, const struct audit_entry *entry, struct text detail)
{
    struct query r = query_new(q, SQL_AUDIT_ADD), cut = query_new(q, SQL_AUDIT_CUT);

    query_str(&r, entry->id);
    query_int(&r, entry->at_ms);
    query_given(&r, entry->actor);
    query_str(&r, entry->role);
    query_str(&r, entry->action);
    query_given(&r, entry->target);
    query_given(&r, detail);
    query_given(&r, entry->address);
    enum err e = query_run(&r);
    if (e)
        return e;
    query_int(&cut, AUDIT_MAX);
    return query_run(&cut);
}

enum err sqlite_audit_add(struct store *s, const struct audit_entry *entry)
{
    struct sqlite *q = sqlite_of(s);
    char *detail = NULL;
    size_t len = 0;
    enum err e = entry->detail ? sqlite_json(entry->detail, &detail, &len) : ERR_OK;

    if (!e)
        e = sqlite_write_begin(q);
    if (!e)
        e = sqlite_write_end(q, add(q, entry, (struct text){detail, len}));
    free(detail);
    return e;
}

enum err sqlite_audit_find(struct store *s, const char *id, char action[AUDIT_ACTION_SIZE])
{
    struct sqlite *q = sqlite_of(s);
    enum err e = sqlite_write_begin(q), found;

    if (e)
        return e;
    struct query r = query_new(q, SQL_AUDIT_ACTION);
    query_str(&r, id);
    found = query_step(&r);
    if (!found)
        query_col_copy(&r, 0, action, AUDIT_ACTION_SIZE);
    query_end(&r);
    e = sqlite_write_end(q, found == ERR_NOT_FOUND ? ERR_OK : found);
    return e ? e : found;
}

static void set_given(json_t *object, const char *name, struct text t)
{
    if (t.len)
        json_object_set_new(object, name, json_stringn(t.s, t.len));
}

static json_t *entry_json(const struct query *r)
{
    json_t *entry = json_object();
    char at[CLOCK_TEXT_SIZE];

    set_given(entry, "id", query_col_text(r, 0));
    clock_rfc3339(query_col_int(r, 1), at);
    json_object_set_new(entry, "at", json_string(at));
    set_given(entry, "actor", query_col_text(r, 2));
    set_given(entry, "role", query_col_text(r, 3));
    set_given(entry, "action", query_col_text(r, 4));
    set_given(entry, "target", query_col_text(r, 5));
    if (query_col_text(r, 6).s)
        json_object_set_new(entry, "detail", query_col_json(r, 6));
    set_given(entry, "address", query_col_text(r, 7));
    return entry;
}

enum err sqlite_audit_list(struct store *s, const struct audit_query *query, json_t **ret)
{
    struct query r = query_new(sqlite_of(s), query->target.s ? SQL_AUDIT_TARGET : SQL_AUDIT_LIST);
    json_t *list = json_array();
    enum err e;

    query_str(&r, query->before);
    query_given(&r, query->actor);
    query_given(&r, query->target);
    query_given(&r, query->action);
    query_int(&r, query->limit);
    while (!(e = query_step(&r)))
        json_array_append_new(list, entry_json(&r));
    query_end(&r);
    if (e == ERR_NOT_FOUND) {
        *ret = list;
        return ERR_OK;
    }
    json_decref(list);
    return e;
}

enum err sqlite_job_submitter(struct store *s, struct text job_id, json_t **ret)
{
    struct query r = query_new(sqlite_of(s), SQL_JOB_SUBMITTER);

    query_text(&r, job_id);
    enum err e = query_step(&r);
    if (!e) {
        struct text submitter = query_col_text(&r, 0);
        *ret = submitter.s ? json_stringn(submitter.s, submitter.len) : NULL;
    }
    query_end(&r);
    return e;
}
