/* Clients, and the queues that only some of them may submit to. */
#include "worker/store/mongo/auth.h"

#include "worker/clients/document.h"
#include "worker/store/mongo/db.h"
#include "worker/store/mongo/secrets.h"

static json_t *client_json(const bson_t *doc)
{
    json_t *client = doc_object(doc);

    json_object_set_new(client, CLIENT_SELF, doc_json(doc, "_id"));
    return client;
}

enum err mongo_client_get(struct store *s, struct text client_id, json_t **ret)
{
    struct db_found f;
    enum err e = db_get(mongo_of(s), CLIENTS, doc_of("client_id: ?", v_text(client_id)), NULL, &f);

    if (!e)
        *ret = client_json(&f.doc);
    db_end(&f);
    return e;
}

static bool add_client(void *clients, struct text client_id, json_t *client)
{
    (void)client_id;
    json_array_append_new(clients, client);
    return true;
}

enum err mongo_clients_list(struct store *s, json_t **ret)
{
    const struct mongo_names names = {
        .collection = CLIENTS, .key = "client_id", .sort = "client_id: 1", .make = client_json};
    json_t *clients = json_array();
    const struct name_walk walk = {.take = add_client, .arg = clients};
    enum err e = mongo_walk_names(mongo_of(s), &names, &walk);

    if (e)
        json_decref(clients);
    else
        *ret = clients;
    return e;
}

/* The fields that are not null; appends the names of the null ones to *unset. */
static json_t *fields_set(const json_t *fields, bson_t *unset)
{
    json_t *set = json_object(), *value;
    const char *name;

    json_object_foreach ((json_t *)(uintptr_t)fields, name, value)
        if (json_is_null(value))
            doc_put(unset, name, v_bool(true));
        else
            json_object_set(set, name, value);
    return set;
}

static enum err create(struct mongo *m, const struct client_put *put)
{
    bson_t unset = BSON_INITIALIZER;
    json_t *set = fields_set(put->fields, &unset);
    bson_t *doc = doc_of("client_id: ?, ?", v_text(put->client_id), v_json(set));

    json_decref(set);
    bson_destroy(&unset);
    return doc ? db_insert(m, CLIENTS, doc) : ERR_UNPROCESSABLE;
}

/* client_id is set to itself so that $set is never empty. NULL: a value cannot be BSON. */
static bson_t *changes(const struct client_put *put)
{
    bson_t *unset = bson_new();
    json_t *set = fields_set(put->fields, unset);
    bool any = !bson_empty(unset);
    bson_t *update = doc_of("$set: {client_id: ?, ?}, $unset: ?", v_text(put->client_id),
                            v_json(set), any ? v_doc(unset) : v_none());

    bson_destroy(unset);
    json_decref(set);
    return update;
}

static enum err update_client(struct mongo *m, const struct client_put *put)
{
    bson_t *update = changes(put);
    struct db_done done;
    json_t *found = NULL;

    if (!update)
        return ERR_UNPROCESSABLE;
    /* Matches only if the role is unchanged since the read. A role that is not text, which other
     * programs may leave, counts as none. */
    bson_t *filter =
        doc_of("client_id: ?, $or: [{$expr: {$ne: [{$type: '$role'}, 'string']}}, ?]",
               v_text(put->client_id),
               json_is_string(put->role) ? v_own(doc_of("role: ?", v_json(put->role))) : v_none());
    enum err e = DB_UPDATE(m, CLIENTS, &done, .filter = filter, .update = update);
    if (e || done.matched)
        return e;
    e = mongo_client_get(&m->store, put->client_id, &found);
    json_decref(found);
    return e ? e : ERR_CONFLICT;
}

static enum err delete_client(struct mongo *m, struct text client_id)
{
    struct db_done done;
    enum err e = db_delete(m, CLIENTS, doc_of("client_id: ?", v_text(client_id)), false, &done);

    return e ? e : done.matched ? ERR_OK : ERR_NOT_FOUND;
}

/* A change that revokes the client's refresh tokens. */
struct ending {
    struct text client_id;
    const struct client_put *put; /* NULL: the client is removed */
    int64_t ended;
};

static enum err change(struct mongo *m, const struct ending *x)
{
    if (!x->put)
        return delete_client(m, x->client_id);
    return x->put->create ? create(m, x->put) : update_client(m, x->put);
}

static enum err change_and_end(struct mongo *m, void *arg)
{
    struct ending *x = arg;
    enum err e = change(m, x);

    x->ended = 0;
    return e ? e : mongo_refresh_end(m, x->client_id, &x->ended);
}

/* Changes the client and revokes its tokens in one transaction. A single server has none: it
 * revokes before the change, so that a crash leaves no token, and after it, for tokens issued
 * meanwhile. */
static enum err change_client(struct mongo *m, struct ending *x)
{
    json_t *found = NULL;
    enum err e;

    if (m->replica_set)
        return mongo_transaction(m, change_and_end, x);
    if (!x->put) { /* an unknown client has no tokens to revoke */
        e = mongo_client_get(&m->store, x->client_id, &found);
        json_decref(found);
        if (e)
            return e;
    }
    e = mongo_refresh_end(m, x->client_id, &x->ended);
    if (!e)
        e = change(m, x);
    return e ? e : mongo_refresh_end(m, x->client_id, &x->ended);
}

enum err mongo_client_put(struct store *s, struct client_put *put)
{
    struct ending x = {.client_id = put->client_id, .put = put};
    enum err e = put->ends_tokens ? change_client(mongo_of(s), &x) : change(mongo_of(s), &x);

    put->ended = x.ended;
    return e;
}

enum err mongo_client_delete(struct store *s, struct text client_id, int64_t *ended)
{
    struct mongo *m = mongo_of(s);
    struct ending x = {.client_id = client_id};
    json_t *found = NULL;
    /* The secrets before the client: what fails in between is done by a repeat. Once more after it,
     * for those that were stored meanwhile. */
    enum err e = mongo_client_get(s, client_id, &found);

    json_decref(found);
    if (!e)
        e = secrets_drop_client(m, client_id);
    if (!e)
        e = change_client(m, &x);
    if (!e)
        *ended = x.ended;
    return e ? e : secrets_drop_client(m, client_id);
}

/* ---- restricted queues ---- */

enum err mongo_queues_restricted(struct store *s, struct queue_check *queues, size_t n)
{
    bson_t names = BSON_INITIALIZER;
    struct db_found f;

    if (!n)
        return ERR_OK;
    for (size_t i = 0; i < n; i++)
        doc_put_at(&names, i, v_text(queues[i].queue));
    /* the index is not unique: a queue may have several documents */
    enum err e =
        DB_FIND(mongo_of(s), &f, .collection = RESTRICTED,
                .filter = doc_of("queue_name: {$in: ?}", v_array(&names)), .limit = (int)n * 8);
    bson_destroy(&names);
    for (size_t i = 0; !e && i < n; i++)
        queues[i].restricted = false;
    while (!e && db_next(&f)) {
        struct text name = doc_text(&f.doc, "queue_name");
        for (size_t i = 0; i < n; i++)
            if (name.s && text_equal(queues[i].queue, name))
                queues[i].restricted = true;
    }
    db_end(&f);
    return e;
}

static bool add_name(void *queues, struct text name, json_t *owners)
{
    json_object_setn_new(queues, name.s, name.len, owners);
    return true;
}

static json_t *no_owners(const bson_t *doc)
{
    (void)doc;
    return json_array();
}

/* The restricted queues, or one, as {NAME: []}. */
static enum err restricted_names(struct mongo *m, struct text queue, json_t **ret)
{
    json_t *queues = json_object();
    const struct name_walk walk = {.take = add_name, .arg = queues};
    const struct mongo_names names = {.collection = RESTRICTED,
                                      .key = "queue_name",
                                      .sort = "queue_name: 1",
                                      .in = &queue,
                                      .in_len = queue.s != NULL,
                                      .make = no_owners};
    enum err e = mongo_walk_names(m, &names, &walk);

    if (e)
        json_decref(queues);
    else
        *ret = queues;
    return e;
}

/* Lists a client under its allowed queues. */
static void add_owner(json_t *queues, const json_t *client)
{
    json_t *id = json_object_get(client, "client_id"), *name;
    size_t i;

    json_array_foreach (json_object_get(client, "allowed_queues"), i, name) {
        json_t *owners = json_is_string(name) ? json_object_getn(queues, json_string_value(name),
                                                                 json_string_length(name))
                                              : NULL;
        size_t n = json_array_size(owners);
        if (owners && !(n && json_equal(json_array_get(owners, n - 1), id)))
            json_array_append(owners, id);
    }
}

/* Passes a client that is allowed on some queue to add_owner(). */
static bool take_owner(void *queues, struct text client_id, json_t *client)
{
    (void)client_id;
    add_owner(queues, client);
    json_decref(client);
    return true;
}

static enum err add_owners(struct mongo *m, json_t *queues)
{
    bson_t *filter = doc_of("allowed_queues: {$gte: ''}");
    const struct mongo_names names = {.collection = CLIENTS,
                                      .key = "client_id",
                                      .sort = "client_id: 1",
                                      .filter = filter,
                                      .fields = "client_id: true, allowed_queues: true",
                                      .index = IX_CLIENT,
                                      .make = doc_object};
    const struct name_walk walk = {.take = take_owner, .arg = queues};
    enum err e = json_object_size(queues) ? mongo_walk_names(m, &names, &walk) : ERR_OK;

    bson_destroy(filter);
    return e;
}

enum err mongo_restricted_list(struct store *s, struct text queue, json_t **ret)
{
    json_t *queues = NULL, *list, *owners;
    const char *name;
    size_t len;
    enum err e = restricted_names(mongo_of(s), queue, &queues);

    if (!e && queue.s && json_object_size(queues) == 0)
        e = ERR_NOT_FOUND;
    if (!e)
        e = add_owners(mongo_of(s), queues);
    if (!e) {
        list = json_array();
        json_object_keylen_foreach(queues, name, len, owners) json_array_append_new(
            list, json_pack("{s:s#, s:O}", "queue", name, len, "owners", owners));
        *ret = list;
    }
    json_decref(queues);
    return e;
}

static enum err mark_restricted(struct mongo *m, struct text queue)
{
    return db_upsert(m, RESTRICTED, doc_of("queue_name: ?", v_text(queue)),
                     doc_of("$set: {queue_name: ?}", v_text(queue)));
}

/* Adds the queue to the client's allowed_queues, or removes it. A list that is missing, null or of
 * another type, as other programs may leave it, counts as empty. */
static enum err change_allowed(struct mongo *m, bool add, struct text queue, struct text client_id)
{
    bson_t *name = doc_of("$literal: ?", v_text(queue));
    bson_t *update =
        doc_of("[{$set: {allowed_queues: {$concatArrays: [{$filter: {"
               "input: {$cond: [{$isArray: '$allowed_queues'}, '$allowed_queues', []]}, "
               "cond: {$ne: ['$$this', ?]}}}, [?]]}}}]",
               v_doc(name), add ? v_doc(name) : v_none());

    bson_destroy(name);
    return db_set(m, CLIENTS, doc_of("client_id: ?", v_text(client_id)), update);
}

enum err mongo_queue_restrict(struct store *s, struct text queue, struct text client_id)
{
    enum err e = change_allowed(mongo_of(s), true, queue, client_id);

    return e ? e : mark_restricted(mongo_of(s), queue);
}

static enum err has_owner(struct mongo *m, struct text queue, bool *ret)
{
    struct db_found f;
    enum err e = db_get(m, CLIENTS, doc_of("allowed_queues: ?", v_text(queue)), "_id: true", &f);

    if (e && e != ERR_NOT_FOUND)
        return e;
    *ret = !e;
    db_end(&f);
    return ERR_OK;
}

/* Lifts the restriction unless somebody owns the queue, even if the owner came just now. */
static enum err lift(struct mongo *m, struct text queue)
{
    bool owned = false;
    enum err e = has_owner(m, queue, &owned);

    if (e || owned)
        return e;
    e = db_delete(m, RESTRICTED, doc_of("queue_name: ?", v_text(queue)), true, NULL);
    if (!e)
        e = has_owner(m, queue, &owned);
    return e ? e : owned ? mark_restricted(m, queue) : ERR_OK;
}

enum err mongo_queue_unrestrict(struct store *s, struct text queue, struct text client_id)
{
    json_t *names = NULL;
    enum err e = restricted_names(mongo_of(s), queue, &names);

    if (!e && json_object_size(names) == 0)
        e = ERR_NOT_FOUND;
    json_decref(names);
    if (e)
        return e;
    e = change_allowed(mongo_of(s), false, queue, client_id);
    return e && e != ERR_NOT_FOUND ? e : lift(mongo_of(s), queue);
}
