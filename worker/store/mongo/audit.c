/* The audit trail, and who submitted a job. */
#include "worker/store/mongo/auth.h"
#include "worker/store/mongo/job.h"

#include "worker/store/mongo/bsonjson.h"

#include <string.h>

static void append_given(bson_t *doc, const char *name, struct text t)
{
    if (t.s)
        mongo_append_text(doc, name, t);
}

enum err mongo_audit_add(struct store *s, const struct audit_entry *entry)
{
    bson_t doc = BSON_INITIALIZER;
    bool ok = true;

    BSON_APPEND_UTF8(&doc, "_id", entry->id);
    BSON_APPEND_DATE_TIME(&doc, "at", entry->at_ms);
    append_given(&doc, "actor", entry->actor);
    if (*entry->role)
        BSON_APPEND_UTF8(&doc, "role", entry->role);
    BSON_APPEND_UTF8(&doc, "action", entry->action);
    append_given(&doc, "target", entry->target);
    if (entry->detail)
        ok = bsonjson_append(&doc, "detail", strlen("detail"), entry->detail);
    append_given(&doc, "address", entry->address);
    enum err e = ok ? mongo_insert(mongo_of(s), AUDIT, &doc) : ERR_UNPROCESSABLE;
    bson_destroy(&doc);
    return e == ERR_CONFLICT ? ERR_OK : e;
}

static json_t *entry_json(const bson_t *doc)
{
    json_t *entry = json_object();
    bson_iter_t it;

    if (bson_iter_init(&it, doc))
        while (bson_iter_next(&it)) {
            const char *name = bson_iter_key(&it);
            json_object_set_new(entry, strcmp(name, "_id") == 0 ? "id" : name, bsonjson_value(&it));
        }
    return entry;
}

enum err mongo_audit_list(struct store *s, const struct audit_query *query, json_t **ret)
{
    bson_t filter = BSON_INITIALIZER, sort = BSON_INITIALIZER, range, reply, doc;
    bson_iter_t batch;
    struct mongo_query q = {.collection = AUDIT,
                            .filter = &filter,
                            .sort = &sort,
                            .limit = query->limit,
                            .more = query->cut};

    if (query->before) {
        BSON_APPEND_DOCUMENT_BEGIN(&filter, "_id", &range);
        BSON_APPEND_UTF8(&range, "$lt", query->before);
        bson_append_document_end(&filter, &range);
    }
    append_given(&filter, "actor", query->actor);
    append_given(&filter, "target", query->target);
    append_given(&filter, "action", query->action);
    BSON_APPEND_INT32(&sort, "_id", -1);
    enum err e = mongo_find(mongo_of(s), &q, &reply, &batch);
    bson_destroy(&filter);
    bson_destroy(&sort);
    if (e)
        return e;
    *ret = json_array();
    while (mongo_next(&batch, &doc))
        json_array_append_new(*ret, entry_json(&doc));
    bson_destroy(&reply);
    return ERR_OK;
}

enum err mongo_job_submitter(struct store *s, struct text job_id, json_t **ret)
{
    bson_t projection = BSON_INITIALIZER, reply, doc;
    bson_iter_t it;

    BSON_APPEND_BOOL(&projection, "submitter", true);
    enum err e = job_find(mongo_of(s), job_id, &projection, &reply, &doc);
    bson_destroy(&projection);
    if (e)
        return e;
    *ret = mongo_field(&doc, "submitter", &it) && BSON_ITER_HOLDS_UTF8(&it) ? bsonjson_value(&it)
                                                                            : NULL;
    bson_destroy(&reply);
    return ERR_OK;
}
