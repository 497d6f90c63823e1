/* The audit trail, and who submitted a job. */
#include "worker/store/mongo/auth.h"
#include "worker/store/mongo/db.h"
#include "worker/store/mongo/job.h"

enum err mongo_audit_add(struct store *s, const struct audit_entry *entry)
{
    bson_t *doc = doc_of("_id: ?, at: ?, actor: ?, role: ?, action: ?, target: ?, detail: ?, "
                         "address: ?",
                         v_str(entry->id), v_date(entry->at_ms), v_given(entry->actor),
                         *entry->role ? v_str(entry->role) : v_none(), v_str(entry->action),
                         v_given(entry->target), entry->detail ? v_json(entry->detail) : v_none(),
                         v_given(entry->address));

    if (!doc)
        return ERR_UNPROCESSABLE;
    enum err e = db_insert(mongo_of(s), AUDIT, doc);
    return e == ERR_CONFLICT ? ERR_OK : e;
}

enum err mongo_audit_find(struct store *s, const char *id, char action[AUDIT_ACTION_SIZE])
{
    struct db_found f;
    enum err e = db_get(mongo_of(s), AUDIT, doc_of("_id: ?", v_str(id)), "action: true", &f);

    if (!e)
        doc_copy(&f.doc, "action", action, AUDIT_ACTION_SIZE);
    db_end(&f);
    return e;
}

static json_t *entry_json(const bson_t *doc)
{
    json_t *entry = json_object(), *others = doc_object(doc);

    json_object_set_new(entry, "id", doc_json(doc, "_id"));
    json_object_update(entry, others);
    json_decref(others);
    return entry;
}

enum err mongo_audit_list(struct store *s, const struct audit_query *query, json_t **ret)
{
    bson_t *filter =
        doc_of("_id: ?, actor: ?, target: ?, action: ?",
               query->before ? v_own(doc_of("$lt: ?", v_str(query->before))) : v_none(),
               v_given(query->actor), v_given(query->target), v_given(query->action));
    struct db_found f;
    enum err e = DB_FIND(mongo_of(s), &f, .collection = AUDIT, .filter = filter, .sort = "_id: -1",
                         .limit = query->limit, .more = query->cut);

    if (e)
        return e;
    *ret = json_array();
    while (db_next(&f))
        json_array_append_new(*ret, entry_json(&f.doc));
    db_end(&f);
    return ERR_OK;
}

enum err mongo_job_submitter(struct store *s, struct text job_id, json_t **ret)
{
    struct db_found f;
    enum err e = job_find(mongo_of(s), job_id, "submitter: true", &f);

    if (e)
        return e;
    struct text submitter = doc_text(&f.doc, "submitter");
    *ret = submitter.s ? json_stringn(submitter.s, submitter.len) : NULL;
    db_end(&f);
    return ERR_OK;
}
