/* Refresh tokens. Ours are stored as digests with a mark beside them. */
#include "worker/store/mongo/auth.h"

#include "common/log.h"
#include "worker/store/mongo/bsonjson.h"

#include <stdio.h>
#include <string.h>

#define ROUNDS_MAX 20

/* Documents of one batch of a list. */
#define BATCH_LEN 1000

static enum err add(struct mongo *m, const bson_oid_t *id, const struct refresh_new *token)
{
    bson_t doc = BSON_INITIALIZER;

    BSON_APPEND_OID(&doc, "_id", id);
    mongo_append_text(&doc, "client_id", token->client_id);
    BSON_APPEND_UTF8(&doc, "refresh_token", token->digest);
    BSON_APPEND_DATE_TIME(&doc, "issued_at", token->issued_ms);
    BSON_APPEND_DATE_TIME(&doc, "expires_at", token->expires_ms);
    BSON_APPEND_BOOL(&doc, "revoked", false);
    BSON_APPEND_DATE_TIME(&doc, "last_accessed", token->issued_ms);
    BSON_APPEND_BOOL(&doc, "hashed", true);
    BSON_APPEND_UTF8(&doc, "binding", token->binding);
    if (token->family)
        BSON_APPEND_UTF8(&doc, "family", token->family);
    enum err e = mongo_insert(m, REFRESH_TOKENS, &doc);
    bson_destroy(&doc);
    return e;
}

enum err mongo_refresh_add(struct store *s, const struct refresh_new *token)
{
    bson_oid_t id;

    bson_oid_init(&id, NULL);
    return add(mongo_of(s), &id, token);
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

/* Copies a text field that fits; "" without one. */
static void copy_field(const bson_t *doc, const char *name, char *out, size_t size)
{
    struct text t;

    *out = '\0';
    if (text_field(doc, name, &t) && t.len < size)
        snprintf(out, size, "%.*s", (int)t.len, t.s);
}

static void found(const bson_t *doc, struct text client, struct refresh_found *ret)
{
    *ret = (struct refresh_found){.client_id = json_stringn(client.s, client.len),
                                  .revoked = flag(doc, "revoked"),
                                  .issued_ms = mongo_date(doc, "issued_at"),
                                  .expires_ms = mongo_date(doc, "expires_at")};
    id_of(doc, ret->id);
    copy_field(doc, "binding", ret->binding, sizeof ret->binding);
    copy_field(doc, "family", ret->family, sizeof ret->family);
    if (!*ret->family)
        snprintf(ret->family, sizeof ret->family, "%s", ret->id);
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
            found(&doc, client, ret);
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

/* ---- several at once ---- */

/* Revokes all that match and adds to *ended how many. Two rounds at least: one alone may pass over
 * a token that is added while it runs. */
static enum err revoke_all(struct mongo *m, bson_t *filter, int64_t *ended)
{
    bson_t *update = BCON_NEW("$set", "{", "revoked", BCON_BOOL(true), "}"), others;
    struct mongo_changed done = {.modified = 1};
    enum err e = ERR_OK;

    BSON_APPEND_DOCUMENT_BEGIN(filter, "revoked", &others);
    BSON_APPEND_BOOL(&others, "$ne", true);
    bson_append_document_end(filter, &others);
    for (int i = 0; !e && done.modified && i < ROUNDS_MAX; i++) {
        bson_t command = BSON_INITIALIZER, updates, statement;
        BSON_APPEND_UTF8(&command, "update", REFRESH_TOKENS);
        BSON_APPEND_ARRAY_BEGIN(&command, "updates", &updates);
        BSON_APPEND_DOCUMENT_BEGIN(&updates, "0", &statement);
        BSON_APPEND_DOCUMENT(&statement, "q", filter);
        BSON_APPEND_DOCUMENT(&statement, "u", update);
        BSON_APPEND_BOOL(&statement, "multi", true);
        bson_append_document_end(&updates, &statement);
        bson_append_array_end(&command, &updates);
        e = mongo_write_all(m, &command, NULL, &done);
        bson_destroy(&command);
        if (!e)
            *ended += done.modified;
    }
    bson_destroy(update);
    return e;
}

enum err mongo_refresh_end(struct mongo *m, struct text client_id, int64_t *ended)
{
    bson_t filter = BSON_INITIALIZER;

    mongo_append_text(&filter, "client_id", client_id);
    enum err e = revoke_all(m, &filter, ended);
    bson_destroy(&filter);
    return e;
}

enum err mongo_refresh_revoke_family(struct store *s, const char *family, int64_t *ret)
{
    bson_t filter = BSON_INITIALIZER, any, child;
    bson_oid_t first;
    int64_t n = 0;

    BSON_APPEND_ARRAY_BEGIN(&filter, "$or", &any);
    BSON_APPEND_DOCUMENT_BEGIN(&any, "0", &child);
    BSON_APPEND_UTF8(&child, "family", family);
    bson_append_document_end(&any, &child);
    if (bson_oid_is_valid(family, strlen(family))) {
        bson_oid_init_from_string(&first, family);
        BSON_APPEND_DOCUMENT_BEGIN(&any, "1", &child);
        BSON_APPEND_OID(&child, "_id", &first);
        bson_append_document_end(&any, &child);
    }
    bson_append_array_end(&filter, &any);
    enum err e = revoke_all(mongo_of(s), &filter, &n);
    bson_destroy(&filter);
    if (!e)
        *ret = n;
    return e;
}

/* ---- rotation ---- */

/* Marks a token as used, unless it is revoked or was used before the grace time: then
 * ERR_NOT_FOUND.
 */
static enum err mark_used(struct mongo *m, const bson_oid_t *id, const struct refresh_rotation *r)
{
    bson_t *filter = BCON_NEW("_id", BCON_OID(id), "revoked", "{", "$ne", BCON_BOOL(true), "}",
                              "$or", "[", "{", "used_at", BCON_NULL, "}", "{", "used_at", "{",
                              "$gte", BCON_DATE_TIME(r->now_ms - r->grace_ms), "}", "}", "]");
    bson_t *update = BCON_NEW("$min", "{", "used_at", BCON_DATE_TIME(r->now_ms), "}", "$set", "{",
                              "last_accessed", BCON_DATE_TIME(r->now_ms), "}");
    struct mongo_change change = {.filter = filter, .update = update};
    struct mongo_changed done = {0};
    enum err e = mongo_update(m, REFRESH_TOKENS, &change, &done);

    bson_destroy(filter);
    bson_destroy(update);
    return e || done.matched ? e : ERR_NOT_FOUND;
}

/* Why it could not be marked. */
static enum err why_not(struct mongo *m, const bson_oid_t *id, enum refresh_rotated *ret)
{
    bson_t filter = BSON_INITIALIZER, reply, doc;
    bson_iter_t batch;
    struct mongo_query q = {.collection = REFRESH_TOKENS, .filter = &filter, .limit = 1};

    BSON_APPEND_OID(&filter, "_id", id);
    enum err e = mongo_find(m, &q, &reply, &batch);
    bson_destroy(&filter);
    if (e)
        return e;
    if (mongo_next(&batch, &doc))
        *ret = flag(&doc, "revoked") ? REFRESH_REVOKED : REFRESH_REUSED;
    else
        e = ERR_NOT_FOUND;
    bson_destroy(&reply);
    return e;
}

/* The next token is added before the old one is marked: once it is, a family that is revoked holds
 * both. Until it is answered nobody knows the next one. */
enum err mongo_refresh_rotate(struct store *s, const struct refresh_rotation *r,
                              enum refresh_rotated *ret)
{
    struct mongo *m = mongo_of(s);
    bson_t filter = BSON_INITIALIZER;
    bson_oid_t id, next;

    if (!bson_oid_is_valid(r->id, strlen(r->id)))
        return ERR_NOT_FOUND;
    bson_oid_init_from_string(&id, r->id);
    bson_oid_init(&next, NULL);
    enum err e = add(m, &next, &r->next);
    if (e)
        return e;
    e = mark_used(m, &id, r);
    if (!e) {
        *ret = REFRESH_NEXT;
        return ERR_OK;
    }
    BSON_APPEND_OID(&filter, "_id", &next);
    if (mongo_delete(m, REFRESH_TOKENS, &filter, false, NULL))
        log_debug("a refresh token that nobody has is left in the store until it expires");
    bson_destroy(&filter);
    return e == ERR_NOT_FOUND ? why_not(m, &id, ret) : e;
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
