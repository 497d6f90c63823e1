/* Clients and the queues that only some of them may submit to. */
#include "worker/store/mongo/auth.h"

#include "worker/clients/document.h"
#include "worker/store/mongo/bsonjson.h"

#include <string.h>

/* Documents of one batch, so that a list of any length comes in batches. */
#define BATCH_LEN 500

static json_t *client_json(const bson_t *doc)
{
    json_t *client = mongo_document_json(doc);
    bson_iter_t it;

    if (bson_iter_init_find(&it, doc, "_id"))
        json_object_set_new(client, CLIENT_SELF, bsonjson_value(&it));
    return client;
}

enum err mongo_client_get(struct store *s, struct text client_id, json_t **ret)
{
    bson_t filter = BSON_INITIALIZER, reply, doc;
    bson_iter_t batch;
    struct mongo_query q = {.collection = CLIENTS, .filter = &filter, .limit = 1};

    mongo_append_text(&filter, "client_id", client_id);
    enum err e = mongo_find(mongo_of(s), &q, &reply, &batch);
    bson_destroy(&filter);
    if (e)
        return e;
    if (mongo_next(&batch, &doc))
        *ret = client_json(&doc);
    else
        e = ERR_NOT_FOUND;
    bson_destroy(&reply);
    return e;
}

/* Appends the clients whose id is greater than `after` to an array; *ret_n how many. */
static enum err list_batch(struct mongo *m, struct text after, json_t *clients, size_t *ret_n)
{
    bson_t filter = BSON_INITIALIZER, sort = BSON_INITIALIZER, range, reply, doc;
    bson_iter_t batch;
    struct mongo_query q = {
        .collection = CLIENTS, .filter = &filter, .sort = &sort, .limit = BATCH_LEN};

    BSON_APPEND_DOCUMENT_BEGIN(&filter, "client_id", &range);
    mongo_append_text(&range, after.s ? "$gt" : "$gte", after); /* texts only, by BSON's order */
    bson_append_document_end(&filter, &range);
    BSON_APPEND_INT32(&sort, "client_id", 1);
    enum err e = mongo_find(m, &q, &reply, &batch);
    bson_destroy(&filter);
    bson_destroy(&sort);
    if (e)
        return e;
    for (*ret_n = 0; mongo_next(&batch, &doc); ++*ret_n)
        json_array_append_new(clients, client_json(&doc));
    bson_destroy(&reply);
    return ERR_OK;
}

enum err mongo_clients_list(struct store *s, json_t **ret)
{
    json_t *clients = json_array();
    struct text last = {0};
    size_t n;
    enum err e;

    while (!(e = list_batch(mongo_of(s), last, clients, &n)) && n) {
        const json_t *id =
            json_object_get(json_array_get(clients, json_array_size(clients) - 1), "client_id");
        last = (struct text){json_string_value(id), json_string_length(id)};
    }
    if (e)
        json_decref(clients);
    else
        *ret = clients;
    return e;
}

static enum err create(struct mongo *m, const struct client_put *put)
{
    bson_t doc = BSON_INITIALIZER;
    json_t *fields = json_deep_copy(put->fields), *value;
    const char *name;
    void *next;

    json_object_foreach_safe(fields, next, name, value) if (json_is_null(value))
        json_object_del(fields, name);
    mongo_append_text(&doc, "client_id", put->client_id);
    enum err e =
        bsonjson_append_members(&doc, fields) ? mongo_insert(m, CLIENTS, &doc) : ERR_UNPROCESSABLE;
    json_decref(fields);
    bson_destroy(&doc);
    return e;
}

/* {$set: {...}, $unset: {...}}; client_id is set to itself so that $set is never empty. False: a
 * value cannot be BSON. */
static bool append_changes(bson_t *update, const struct client_put *put)
{
    bson_t set, unset = BSON_INITIALIZER;
    json_t *fields = json_deep_copy(put->fields), *value;
    const char *name;
    void *next;

    json_object_foreach_safe(fields, next, name, value) if (json_is_null(value))
    {
        BSON_APPEND_BOOL(&unset, name, true);
        json_object_del(fields, name);
    }
    BSON_APPEND_DOCUMENT_BEGIN(update, "$set", &set);
    mongo_append_text(&set, "client_id", put->client_id);
    bool ok = bsonjson_append_members(&set, fields);
    bson_append_document_end(update, &set);
    if (bson_count_keys(&unset))
        BSON_APPEND_DOCUMENT(update, "$unset", &unset);
    bson_destroy(&unset);
    json_decref(fields);
    return ok;
}

/* The role is still as it was read. One of another type than text, which other programs may leave,
 * is no role, whatever it is shown as. */
static void append_role(bson_t *filter, const json_t *role)
{
    bson_t any, child;

    BSON_APPEND_ARRAY_BEGIN(filter, "$or", &any);
    BSON_APPEND_DOCUMENT_BEGIN(&any, "0", &child);
    BCON_APPEND(&child, "$expr", "{", "$ne", "[", "{", "$type", BCON_UTF8("$role"), "}",
                BCON_UTF8("string"), "]", "}");
    bson_append_document_end(&any, &child);
    if (json_is_string(role)) {
        BSON_APPEND_DOCUMENT_BEGIN(&any, "1", &child);
        mongo_append_text(&child, "role",
                          (struct text){json_string_value(role), json_string_length(role)});
        bson_append_document_end(&any, &child);
    }
    bson_append_array_end(filter, &any);
}

static enum err update_client(struct mongo *m, const struct client_put *put)
{
    bson_t filter = BSON_INITIALIZER, update = BSON_INITIALIZER;
    struct mongo_change change = {.filter = &filter, .update = &update};
    struct mongo_changed done = {0};
    json_t *found = NULL;

    mongo_append_text(&filter, "client_id", put->client_id);
    append_role(&filter, put->role);
    enum err e =
        append_changes(&update, put) ? mongo_update(m, CLIENTS, &change, &done) : ERR_UNPROCESSABLE;
    bson_destroy(&filter);
    bson_destroy(&update);
    if (e || done.matched)
        return e;
    e = mongo_client_get(&m->store, put->client_id, &found);
    json_decref(found);
    return e ? e : ERR_CONFLICT;
}

static enum err delete_client(struct mongo *m, struct text client_id)
{
    bson_t filter = BSON_INITIALIZER;
    int64_t n = 0;

    mongo_append_text(&filter, "client_id", client_id);
    enum err e = mongo_delete(m, CLIENTS, &filter, false, &n);
    bson_destroy(&filter);
    return e ? e : n ? ERR_OK : ERR_NOT_FOUND;
}

/* A change that ends the client's refresh tokens. */
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

/* In a transaction. A single server has none: there the tokens end first, so that none is left
 * behind a change after which we die, and once more for those that were issued meanwhile. */
static enum err change_client(struct mongo *m, struct ending *x)
{
    json_t *found = NULL;
    enum err e;

    if (m->replica_set)
        return mongo_transaction(m, change_and_end, x);
    if (!x->put) { /* the tokens of nobody are left alone */
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
    struct ending x = {.client_id = client_id};
    enum err e = change_client(mongo_of(s), &x);

    if (!e)
        *ended = x.ended;
    return e;
}

/* ---- restricted queues ---- */

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
    bson_t in = BSON_INITIALIZER;
    json_t *queues = json_object();
    const struct name_walk walk = {.take = add_name, .arg = queues};
    struct mongo_names names = {.collection = RESTRICTED, .key = "queue_name", .make = no_owners};

    if (queue.s) {
        mongo_append_text(&in, "0", queue);
        names.in = &in;
    }
    enum err e = mongo_walk_names(m, &names, &walk);
    bson_destroy(&in);
    if (e)
        json_decref(queues);
    else
        *ret = queues;
    return e;
}

/* Puts a client under each of the queues that it is allowed on. */
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

enum err mongo_restricted_list(struct store *s, struct text queue, json_t **ret)
{
    json_t *queues = NULL, *clients = NULL, *list, *value, *owners;
    const char *name;
    size_t i, len;
    enum err e = restricted_names(mongo_of(s), queue, &queues);

    if (!e && queue.s && json_object_size(queues) == 0)
        e = ERR_NOT_FOUND;
    if (!e)
        e = mongo_clients_list(s, &clients);
    if (!e) {
        json_array_foreach (clients, i, value)
            add_owner(queues, value);
        list = json_array();
        json_object_keylen_foreach(queues, name, len, owners) json_array_append_new(
            list, json_pack("{s:s#, s:O}", "queue", name, len, "owners", owners));
        *ret = list;
    }
    json_decref(queues);
    json_decref(clients);
    return e;
}

static enum err mark_restricted(struct mongo *m, struct text queue)
{
    bson_t filter = BSON_INITIALIZER, update = BSON_INITIALIZER, set;
    struct mongo_change change = {.filter = &filter, .update = &update, .upsert = true};

    mongo_append_text(&filter, "queue_name", queue);
    BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set);
    mongo_append_text(&set, "queue_name", queue);
    bson_append_document_end(&update, &set);
    enum err e = mongo_update(m, RESTRICTED, &change, NULL);
    bson_destroy(&filter);
    bson_destroy(&update);
    return e;
}

/* Adds the queue to the client's allowed_queues or takes it out. A list that is missing, null or of
 * another type, as other programs may leave it, is as good as an empty one. */
static enum err change_allowed(struct mongo *m, bool add, struct text queue, struct text client_id)
{
    bson_t filter = BSON_INITIALIZER, name = BSON_INITIALIZER, added = BSON_INITIALIZER;
    struct mongo_change change = {.filter = &filter, .pipeline = true};
    struct mongo_changed done;

    mongo_append_text(&filter, "client_id", client_id);
    mongo_append_text(&name, "$literal", queue);
    if (add)
        BSON_APPEND_DOCUMENT(&added, "0", &name);
    bson_t *update =
        BCON_NEW("0", "{", "$set", "{", "allowed_queues", "{", "$concatArrays", "[", "{", "$filter",
                 "{", "input", "{", "$cond", "[", "{", "$isArray", BCON_UTF8("$allowed_queues"),
                 "}", BCON_UTF8("$allowed_queues"), "[", "]", "]", "}", "cond", "{", "$ne", "[",
                 BCON_UTF8("$$this"), BCON_DOCUMENT(&name), "]", "}", "}", "}", BCON_ARRAY(&added),
                 "]", "}", "}", "}");
    change.update = update;
    enum err e = mongo_update(m, CLIENTS, &change, &done);
    bson_destroy(&name);
    bson_destroy(&added);
    bson_destroy(&filter);
    bson_destroy(update);
    return e ? e : done.matched ? ERR_OK : ERR_NOT_FOUND;
}

enum err mongo_queue_restrict(struct store *s, struct text queue, struct text client_id)
{
    enum err e = change_allowed(mongo_of(s), true, queue, client_id);

    return e ? e : mark_restricted(mongo_of(s), queue);
}

static enum err has_owner(struct mongo *m, struct text queue, bool *ret)
{
    bson_t filter = BSON_INITIALIZER, projection = BSON_INITIALIZER, reply, doc;
    bson_iter_t batch;
    struct mongo_query q = {
        .collection = CLIENTS, .filter = &filter, .projection = &projection, .limit = 1};

    mongo_append_text(&filter, "allowed_queues", queue);
    BSON_APPEND_BOOL(&projection, "_id", true);
    enum err e = mongo_find(m, &q, &reply, &batch);
    bson_destroy(&filter);
    bson_destroy(&projection);
    if (e)
        return e;
    *ret = mongo_next(&batch, &doc);
    bson_destroy(&reply);
    return ERR_OK;
}

/* Lifts the restriction unless somebody owns the queue: also when a new owner comes meanwhile. */
static enum err lift(struct mongo *m, struct text queue)
{
    bson_t filter = BSON_INITIALIZER;
    bool owned = false;
    enum err e = has_owner(m, queue, &owned);

    if (e || owned)
        return e;
    mongo_append_text(&filter, "queue_name", queue);
    e = mongo_delete(m, RESTRICTED, &filter, true, NULL);
    bson_destroy(&filter);
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
