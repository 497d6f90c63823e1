/* Refresh tokens. Ours are stored as digests with a mark beside them. */
#include "worker/store_mongo/auth.h"

#include "worker/store_mongo/bsonjson.h"

#include <string.h>

/* Documents of one batch of a list. */
#define BATCH_LEN 1000

enum err mongo_refresh_add(struct store *s, const struct refresh_new *token)
{
    bson_oid_t id;
    bson_t *doc;

    bson_oid_init(&id, NULL);
    doc = BCON_NEW("_id", BCON_OID(&id), "client_id", BCON_UTF8(token->client_id), "refresh_token",
                   BCON_UTF8(token->digest), "issued_at", BCON_DATE_TIME(token->issued_ms),
                   "expires_at", BCON_DATE_TIME(token->expires_ms), "revoked", BCON_BOOL(false),
                   "last_accessed", BCON_DATE_TIME(token->issued_ms), "hashed", BCON_BOOL(true));
    enum err e = mongo_insert(mongo_of(s), REFRESH_TOKENS, doc);
    bson_destroy(doc);
    return e;
}

static bool text_field(const bson_t *doc, const char *name, struct text *ret)
{
    bson_iter_t it;
    uint32_t len;

    if (!bson_iter_init_find(&it, doc, name) || !BSON_ITER_HOLDS_UTF8(&it))
        return false;
    ret->s = bson_iter_utf8(&it, &len);
    ret->len = len;
    return true;
}

static bool flag(const bson_t *doc, const char *name)
{
    bson_iter_t it;

    return bson_iter_init_find(&it, doc, name) && bson_iter_as_bool(&it);
}

/* A digest is no token: what is stored so must not let in who has read it. */
static bool is_of(const bson_t *doc, const struct refresh_key *key)
{
    bool hashed = flag(doc, "hashed");
    struct text stored, wanted = key->token;

    if (hashed)
        wanted = (struct text){key->digest, strlen(key->digest)};
    return text_field(doc, "refresh_token", &stored) && stored.len == wanted.len &&
           memcmp(stored.s, wanted.s, wanted.len) == 0;
}

static void id_of(const bson_t *doc, char out[REFRESH_ID_SIZE])
{
    bson_iter_t it;

    out[0] = '\0';
    if (bson_iter_init_find(&it, doc, "_id") && BSON_ITER_HOLDS_OID(&it))
        bson_oid_to_string(bson_iter_oid(&it), out);
}

enum err mongo_refresh_find(struct store *s, const struct refresh_key *key,
                            struct refresh_found *ret)
{
    bson_t filter = BSON_INITIALIZER, child, list, reply, doc;
    struct text client;
    bson_iter_t batch;
    struct mongo_query q = {.collection = REFRESH_TOKENS, .filter = &filter, .limit = 8};

    BSON_APPEND_DOCUMENT_BEGIN(&filter, "refresh_token", &child);
    BSON_APPEND_ARRAY_BEGIN(&child, "$in", &list);
    mongo_append_text(&list, "0", key->token);
    BSON_APPEND_UTF8(&list, "1", key->digest);
    bson_append_array_end(&child, &list);
    bson_append_document_end(&filter, &child);
    enum err e = mongo_find(mongo_of(s), &q, &reply, &batch);
    bson_destroy(&filter);
    if (e)
        return e;
    e = ERR_NOT_FOUND;
    while (e && mongo_next(&batch, &doc))
        if (is_of(&doc, key) && text_field(&doc, "client_id", &client)) {
            *ret = (struct refresh_found){.client_id = json_stringn(client.s, client.len),
                                          .revoked = flag(&doc, "revoked"),
                                          .expires_ms = mongo_date(&doc, "expires_at")};
            id_of(&doc, ret->id);
            e = ERR_OK;
        }
    bson_destroy(&reply);
    return e;
}

/* Sets a field of the document of this id. */
static enum err set(struct mongo *m, const char *id, const bson_t *fields,
                    struct mongo_changed *ret)
{
    bson_t filter = BSON_INITIALIZER, update = BSON_INITIALIZER;
    struct mongo_change change = {.filter = &filter, .update = &update};
    bson_oid_t oid;

    if (!bson_oid_is_valid(id, strlen(id)))
        return ERR_NOT_FOUND;
    bson_oid_init_from_string(&oid, id);
    BSON_APPEND_OID(&filter, "_id", &oid);
    BSON_APPEND_DOCUMENT(&update, "$set", fields);
    enum err e = mongo_update(m, REFRESH_TOKENS, &change, ret);
    bson_destroy(&filter);
    bson_destroy(&update);
    return e ? e : ret->matched ? ERR_OK : ERR_NOT_FOUND;
}

enum err mongo_refresh_touch(struct store *s, const char *id, int64_t now_ms)
{
    bson_t *fields = BCON_NEW("last_accessed", BCON_DATE_TIME(now_ms));
    struct mongo_changed done;
    enum err e = set(mongo_of(s), id, fields, &done);

    bson_destroy(fields);
    return e;
}

enum err mongo_refresh_revoke(struct store *s, const char *id, bool *ret)
{
    bson_t *fields = BCON_NEW("revoked", BCON_BOOL(true));
    struct mongo_changed done;
    enum err e = set(mongo_of(s), id, fields, &done);

    bson_destroy(fields);
    if (!e)
        *ret = done.modified > 0;
    return e;
}

static json_t *token_json(const bson_t *doc)
{
    static const char *const shown[] = {"client_id", "issued_at", "expires_at", "revoked",
                                        "last_accessed"};
    json_t *token = json_object();
    char id[REFRESH_ID_SIZE];
    bson_iter_t it;

    id_of(doc, id);
    json_object_set_new(token, "id", json_string(id));
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
        if (bson_iter_init_find(&it, doc, shown[i]))
            json_object_set_new(token, shown[i], bsonjson_value(&it));
    return token;
}

/* Appends the tokens whose _id is greater than *last, which becomes that of the last one. */
static enum err list_batch(struct mongo *m, struct text client_id, bson_oid_t *last, json_t *list,
                           size_t *ret_n)
{
    bson_t filter = BSON_INITIALIZER, sort = BSON_INITIALIZER, range, reply, doc;
    bson_iter_t batch, it;
    struct mongo_query q = {
        .collection = REFRESH_TOKENS, .filter = &filter, .sort = &sort, .limit = BATCH_LEN};

    BSON_APPEND_DOCUMENT_BEGIN(&filter, "_id", &range);
    BSON_APPEND_OID(&range, "$gt", last);
    bson_append_document_end(&filter, &range);
    if (client_id.s)
        mongo_append_text(&filter, "client_id", client_id);
    BSON_APPEND_INT32(&sort, "_id", 1);
    enum err e = mongo_find(m, &q, &reply, &batch);
    bson_destroy(&filter);
    bson_destroy(&sort);
    if (e)
        return e;
    for (*ret_n = 0; mongo_next(&batch, &doc); ++*ret_n) {
        json_array_append_new(list, token_json(&doc));
        if (bson_iter_init_find(&it, &doc, "_id"))
            bson_oid_copy(bson_iter_oid(&it), last);
    }
    bson_destroy(&reply);
    return ERR_OK;
}

enum err mongo_refresh_list(struct store *s, struct text client_id, json_t **ret)
{
    json_t *list = json_array();
    bson_oid_t last = {{0}};
    size_t n;
    enum err e;

    while (!(e = list_batch(mongo_of(s), client_id, &last, list, &n)) && n)
        ;
    if (e)
        json_decref(list);
    else
        *ret = list;
    return e;
}
