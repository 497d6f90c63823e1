/* Clients, and the restricted queues with their owners. */
#include "worker/store/sqlite/sqlite.h"

#include "worker/clients/document.h"
#include "worker/encoding/json_string.h"

#include <stdlib.h>

static struct text text_of(const json_t *s)
{
    return json_string_text(s);
}

/* The document of a row (client_id, fields, self), new reference; NULL (logged): unreadable. */
static json_t *document(const struct query *r)
{
    struct text id = query_col_text(r, 0), self = query_col_text(r, 2);
    json_t *fields = query_col_json(r, 1), *doc;

    if (!fields)
        return NULL;
    doc = json_pack("{s:s#}", "client_id", id.s, id.len);
    json_object_update(doc, fields);
    json_object_set_new(doc, CLIENT_SELF, json_stringn(self.s ? self.s : "", self.len));
    json_decref(fields);
    return doc;
}

enum err sqlite_client_get(struct store *s, struct text client_id, json_t **ret)
{
    struct query r = query_new(sqlite_of(s), SQL_CLIENT);
    json_t *doc = NULL;

    query_text(&r, client_id);
    enum err e = query_step(&r);
    if (!e && !(doc = document(&r)))
        e = ERR_INTERNAL;
    query_end(&r);
    if (!e)
        *ret = doc;
    return e;
}

enum err sqlite_clients_list(struct store *s, json_t **ret)
{
    struct query r = query_new(sqlite_of(s), SQL_CLIENTS);
    json_t *clients = json_array();
    enum err e;

    while (!(e = query_step(&r))) {
        json_t *doc = document(&r);
        if (doc)
            json_array_append_new(clients, doc);
    }
    query_end(&r);
    if (e == ERR_NOT_FOUND) {
        *ret = clients;
        return ERR_OK;
    }
    json_decref(clients);
    return e;
}

/* Runs a statement with one or two texts as parameters. */
static enum err run(struct sqlite *q, enum sql which, struct text first, struct text second)
{
    struct query r = query_new(q, which);

    query_text(&r, first);
    if (second.s)
        query_text(&r, second);
    return query_run(&r);
}

/* Lists the client under its allowed queues. */
static enum err list_queues(struct sqlite *q, struct text client_id, const json_t *queues)
{
    enum err e = run(q, SQL_CLIENT_QUEUES_DROP, client_id, (struct text){0});
    json_t *queue;
    size_t i;

    json_array_foreach (queues, i, queue)
        if (!e && json_is_string(queue))
            e = run(q, SQL_CLIENT_QUEUE_ADD, text_of(queue), client_id);
    return e;
}

/* Stores a document; client_id is a column, not one of the stored fields. */
static enum err store(struct sqlite *q, struct text client_id, json_t *doc)
{
    struct query r = query_new(q, SQL_CLIENT_PUT);
    char *fields;
    size_t len;

    json_object_del(doc, "client_id");
    json_object_del(doc, CLIENT_SELF);
    enum err e = sqlite_json(doc, &fields, &len);
    if (e)
        return e;
    query_text(&r, client_id);
    query_text(&r, (struct text){fields, len});
    query_int(&r, sqlite_now_ms(q) / 1000);
    e = query_run(&r);
    free(fields);
    return e ? e : list_queues(q, client_id, json_object_get(doc, "allowed_queues"));
}

/* Sets the given fields and removes those that are null. */
static void apply(json_t *doc, const json_t *changes)
{
    json_t *fields = json_deep_copy(changes), *value;
    const char *name;

    json_object_foreach (fields, name, value)
        if (json_is_null(value))
            json_object_del(doc, name);
        else
            json_object_set(doc, name, value);
    json_decref(fields);
}

static bool role_is(const json_t *doc, const json_t *wanted)
{
    const json_t *role = json_object_get(doc, "role");

    if (!role || json_is_null(role)) /* null is as none */
        return !wanted || json_is_null(wanted);
    return wanted && json_equal(role, wanted);
}

static enum err end_tokens(struct sqlite *q, struct text client_id, int64_t *ret)
{
    struct query r = query_new(q, SQL_REFRESH_REVOKE_CLIENT);

    query_text(&r, client_id);
    enum err e = query_run(&r);
    if (!e)
        *ret = query_changes(&r);
    return e;
}

static enum err put(struct sqlite *q, struct client_put *p)
{
    json_t *doc = NULL;
    enum err e = sqlite_client_get(&q->store, p->client_id, &doc);

    if (p->create && e == ERR_NOT_FOUND) {
        doc = json_object();
        e = ERR_OK;
    } else if (!e && (p->create || !role_is(doc, p->role))) {
        e = ERR_CONFLICT;
    }
    if (!e) {
        apply(doc, p->fields);
        e = store(q, p->client_id, doc);
    }
    if (!e && p->ends_tokens)
        e = end_tokens(q, p->client_id, &p->ended);
    json_decref(doc);
    return e;
}

enum err sqlite_client_put(struct store *s, struct client_put *p)
{
    struct sqlite *q = sqlite_of(s);
    enum err e = sqlite_write_begin(q);

    return e ? e : sqlite_write_end(q, put(q, p));
}

static enum err drop(struct sqlite *q, struct text client_id, int64_t *ended)
{
    struct query r = query_new(q, SQL_CLIENT_DROP);

    query_text(&r, client_id);
    enum err e = query_run(&r);
    if (!e && !query_changes(&r))
        e = ERR_NOT_FOUND;
    if (!e)
        e = end_tokens(q, client_id, ended);
    if (!e)
        e = run(q, SQL_SECRETS_DROP, client_id, (struct text){0});
    return e ? e : list_queues(q, client_id, NULL);
}

enum err sqlite_client_delete(struct store *s, struct text client_id, int64_t *ended)
{
    struct sqlite *q = sqlite_of(s);
    enum err e = sqlite_write_begin(q);

    return e ? e : sqlite_write_end(q, drop(q, client_id, ended));
}

/* ---- restricted queues ---- */

enum err sqlite_queues_restricted(struct store *s, struct queue_check *queues, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct query r = query_new(sqlite_of(s), SQL_RESTRICTED);

        query_text(&r, queues[i].queue);
        enum err e = query_probe(&r);
        if (e && e != ERR_NOT_FOUND)
            return e;
        queues[i].restricted = !e;
    }
    return ERR_OK;
}

/* Adds a row (queue, owner or null). Rows come sorted by queue. */
static void add_row(json_t *list, const struct query *r)
{
    struct text queue = query_col_text(r, 0), owner = query_col_text(r, 1);
    size_t n = json_array_size(list);
    json_t *last = n ? json_array_get(list, n - 1) : NULL;

    if (!last || !text_equal(text_of(json_object_get(last, "queue")), queue)) {
        last = json_pack("{s:s#, s:[]}", "queue", queue.s, queue.len, "owners");
        json_array_append_new(list, last);
    }
    if (owner.s)
        json_array_append_new(json_object_get(last, "owners"), json_stringn(owner.s, owner.len));
}

enum err sqlite_restricted_list(struct store *s, struct text queue, json_t **ret)
{
    struct query r = query_new(sqlite_of(s), queue.s ? SQL_RESTRICTED_ONE : SQL_RESTRICTED_LIST);
    json_t *list = json_array();
    enum err e;

    if (queue.s)
        query_text(&r, queue);
    while (!(e = query_step(&r)))
        add_row(list, &r);
    query_end(&r);
    if (e == ERR_NOT_FOUND && !(queue.s && json_array_size(list) == 0)) {
        *ret = list;
        return ERR_OK;
    }
    json_decref(list);
    return e;
}

/* Adds the queue to the client's allowed_queues, or removes it. */
static enum err change_allowed(struct sqlite *q, struct text queue, struct text client_id, bool add)
{
    json_t *doc, *allowed, *name;
    size_t i;
    enum err e = sqlite_client_get(&q->store, client_id, &doc);

    if (e)
        return e;
    json_t *kept = json_array();
    allowed = json_object_get(doc, "allowed_queues");
    json_array_foreach (allowed, i, name)
        if (!text_equal(text_of(name), queue))
            json_array_append(kept, name);
    if (add)
        json_array_append_new(kept, json_stringn(queue.s, queue.len));
    json_object_set_new(doc, "allowed_queues", kept);
    e = store(q, client_id, doc);
    json_decref(doc);
    return e;
}

static enum err restrict_queue(struct sqlite *q, struct text queue, struct text client_id)
{
    enum err e = change_allowed(q, queue, client_id, true);

    return e ? e : run(q, SQL_RESTRICTED_ADD, queue, (struct text){0});
}

enum err sqlite_queue_restrict(struct store *s, struct text queue, struct text client_id)
{
    struct sqlite *q = sqlite_of(s);
    enum err e = sqlite_write_begin(q);

    return e ? e : sqlite_write_end(q, restrict_queue(q, queue, client_id));
}

static enum err probe(struct sqlite *q, enum sql which, struct text queue)
{
    struct query r = query_new(q, which);

    query_text(&r, queue);
    return query_probe(&r);
}

static enum err unrestrict(struct sqlite *q, struct text queue, struct text client_id)
{
    enum err e = probe(q, SQL_RESTRICTED, queue);

    if (e)
        return e;
    e = change_allowed(q, queue, client_id, false);
    if (e && e != ERR_NOT_FOUND)
        return e;
    e = probe(q, SQL_QUEUE_OWNERS, queue);
    return e == ERR_NOT_FOUND ? run(q, SQL_RESTRICTED_DROP, queue, (struct text){0}) : e;
}

enum err sqlite_queue_unrestrict(struct store *s, struct text queue, struct text client_id)
{
    struct sqlite *q = sqlite_of(s);
    enum err e = sqlite_write_begin(q);

    return e ? e : sqlite_write_end(q, unrestrict(q, queue, client_id));
}
