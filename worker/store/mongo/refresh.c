/* Refresh tokens. Ours are stored as digests, and marked as such. */
#include "worker/store/mongo/auth.h"

#include "common/log.h"
#include "worker/store/mongo/db.h"

#include <stdio.h>
#include <string.h>

#define ROUNDS_MAX 20
#define KIND_WEB   "web"

/* Documents in one batch of a list. */
#define BATCH_LEN 1000

static enum err add(struct mongo *m, const bson_oid_t *id, const struct refresh_new *token)
{
    return db_insert(
        m, REFRESH_TOKENS,
        doc_of("_id: ?, client_id: ?, refresh_token: ?, issued_at: ?, expires_at: ?, "
               "revoked: false, last_accessed: ?, hashed: true, binding: ?, family: ?, "
               "kind: ?",
               v_oid(id), v_text(token->client_id), v_str(token->digest), v_date(token->issued_ms),
               v_date(token->expires_ms), v_date(token->issued_ms), v_str(token->binding),
               token->family ? v_str(token->family) : v_none(),
               token->web ? v_str(KIND_WEB) : v_none()));
}

enum err mongo_refresh_add(struct store *s, const struct refresh_new *token)
{
    bson_oid_t id;

    bson_oid_init(&id, NULL);
    return add(mongo_of(s), &id, token);
}

/* A stored digest must not work as a token: readers of the database know it. */
static bool is_of(const bson_t *doc, const struct refresh_key *key)
{
    struct text stored = doc_text(doc, "refresh_token");
    struct text digest = {key->digest, strlen(key->digest)};

    return stored.s && text_equal(stored, doc_bool(doc, "hashed") ? digest : key->token);
}

static void id_of(const bson_t *doc, char out[REFRESH_ID_SIZE])
{
    const bson_oid_t *id = doc_oid(doc, "_id");

    out[0] = '\0';
    if (id)
        bson_oid_to_string(id, out);
}

static void found(const bson_t *doc, struct text client, struct refresh_found *ret)
{
    *ret = (struct refresh_found){.client_id = json_stringn(client.s, client.len),
                                  .revoked = doc_bool(doc, "revoked"),
                                  .web = doc_text(doc, "kind").s != NULL,
                                  .issued_ms = doc_date(doc, "issued_at"),
                                  .expires_ms = doc_date(doc, "expires_at")};
    id_of(doc, ret->id);
    doc_copy(doc, "binding", ret->binding, sizeof ret->binding);
    doc_copy(doc, "family", ret->family, sizeof ret->family);
    if (!*ret->family)
        snprintf(ret->family, sizeof ret->family, "%s", ret->id);
}

enum err mongo_refresh_find(struct store *s, const struct refresh_key *key,
                            struct refresh_found *ret)
{
    struct db_query q = {
        .collection = REFRESH_TOKENS,
        .filter = doc_of("refresh_token: {$in: [?, ?]}", v_text(key->token), v_str(key->digest)),
        .limit = 8};
    struct db_found f;
    enum err e = db_find(mongo_of(s), &q, &f);

    if (e)
        return e;
    e = ERR_NOT_FOUND;
    while (e && db_next(&f)) {
        struct text client = doc_text(&f.doc, "client_id");
        if (client.s && is_of(&f.doc, key)) {
            found(&f.doc, client, ret);
            e = ERR_OK;
        }
    }
    db_end(&f);
    return e;
}

/* Updates the document of this id. Takes the update. */
static enum err change(struct mongo *m, const char *id, bson_t *update, struct db_done *ret)
{
    bson_oid_t oid;

    if (!bson_oid_is_valid(id, strlen(id))) {
        bson_destroy(update);
        return ERR_NOT_FOUND;
    }
    bson_oid_init_from_string(&oid, id);
    enum err e = DB_UPDATE(m, REFRESH_TOKENS, ret, .filter = doc_of("_id: ?", v_oid(&oid)),
                           .update = update);
    return e ? e : ret->matched ? ERR_OK : ERR_NOT_FOUND;
}

enum err mongo_refresh_touch(struct store *s, const char *id, int64_t now_ms, int64_t expires_ms)
{
    struct db_done done;

    return change(mongo_of(s), id,
                  doc_of("$set: {last_accessed: ?, expires_at: ?}", v_date(now_ms),
                         expires_ms ? v_date(expires_ms) : v_none()),
                  &done);
}

enum err mongo_refresh_revoke(struct store *s, const char *id, bool *ret)
{
    struct db_done done;
    enum err e = change(mongo_of(s), id, doc_of("$set: {revoked: true}"), &done);

    if (!e)
        *ret = done.modified > 0;
    return e;
}

/* ---- several at once ---- */

/* Revokes all that match (takes the filter) and adds their number to *ended. At least two rounds:
 * one may miss a token that is added meanwhile. */
static enum err revoke_all(struct mongo *m, bson_t *which, int64_t *ended)
{
    struct db_done done = {.modified = 1};
    enum err e = ERR_OK;

    for (int i = 0; !e && done.modified && i < ROUNDS_MAX; i++) {
        e = DB_UPDATE(m, REFRESH_TOKENS, &done,
                      .filter = doc_of("?, revoked: {$ne: true}", v_doc(which)),
                      .update = doc_of("$set: {revoked: true}"), .all = true);
        *ended += done.modified;
    }
    bson_destroy(which);
    return e;
}

enum err mongo_refresh_end(struct mongo *m, struct text client_id, int64_t *ended)
{
    return revoke_all(m, doc_of("client_id: ?", v_text(client_id)), ended);
}

enum err mongo_refresh_revoke_family(struct store *s, const char *family, int64_t *ret)
{
    bool is_id = bson_oid_is_valid(family, strlen(family)); /* of the first one */
    bson_oid_t first;
    int64_t n = 0;

    if (is_id)
        bson_oid_init_from_string(&first, family);
    enum err e = revoke_all(mongo_of(s),
                            doc_of("$or: [{family: ?}, ?]", v_str(family),
                                   is_id ? v_own(doc_of("_id: ?", v_oid(&first))) : v_none()),
                            &n);
    if (!e)
        *ret = n;
    return e;
}

/* ---- rotation ---- */

/* Marks a token as used. ERR_NOT_FOUND: revoked, or used by others before the grace time. */
static enum err mark_used(struct mongo *m, const bson_oid_t *id, const struct refresh_rotation *r)
{
    return db_set(
        m, REFRESH_TOKENS,
        doc_of("_id: ?, revoked: {$ne: true}, $or: [{used_at: null}, {used_at: {$gte: ?}}, "
               "{requests: ?}]",
               v_oid(id), v_date(r->now_ms - r->grace_ms), v_str(r->request_id)),
        doc_of("$min: {used_at: ?}, $set: {last_accessed: ?}, $push: {requests: {$each: [?], "
               "$position: 0, $slice: ?}}",
               v_date(r->now_ms), v_date(r->now_ms), v_str(r->request_id), v_int(REQUESTS_MAX)));
}

/* Why a token could not be marked. */
static enum err why_not(struct mongo *m, const bson_oid_t *id, enum refresh_rotated *ret)
{
    struct db_found f;
    enum err e = db_get(m, REFRESH_TOKENS, doc_of("_id: ?", v_oid(id)), "revoked: true", &f);

    if (!e)
        *ret = doc_bool(&f.doc, "revoked") ? REFRESH_REVOKED : REFRESH_REUSED;
    db_end(&f);
    return e;
}

/* Adds the next token before marking the old one, so that a revocation of the family meanwhile
 * reaches both. The next token is unknown to anybody until the answer. */
enum err mongo_refresh_rotate(struct store *s, const struct refresh_rotation *r,
                              enum refresh_rotated *ret)
{
    struct mongo *m = mongo_of(s);
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
    if (db_delete(m, REFRESH_TOKENS, doc_of("_id: ?", v_oid(&next)), false, NULL))
        log_debug("left a refresh token that nobody has in the store; it expires by itself");
    return e == ERR_NOT_FOUND ? why_not(m, &id, ret) : e;
}

static json_t *token_json(const bson_t *doc)
{
    static const char *const shown[] = {"client_id", "issued_at",     "expires_at",
                                        "revoked",   "last_accessed", "kind"};
    json_t *token = json_object();
    char id[REFRESH_ID_SIZE];

    id_of(doc, id);
    json_object_set_new(token, "id", json_string(id));
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
        json_object_set_new(token, shown[i], doc_json(doc, shown[i])); /* NULL: not set */
    return token;
}

/* Appends the tokens with an _id above *last, and sets *last to the last one. */
static enum err list_batch(struct mongo *m, struct text client_id, bson_oid_t *last, json_t *list,
                           size_t *ret_n)
{
    struct db_query q = {.collection = REFRESH_TOKENS,
                         .filter =
                             doc_of("_id: {$gt: ?}, client_id: ?", v_oid(last), v_given(client_id)),
                         .sort = "_id: 1",
                         .limit = BATCH_LEN};
    struct db_found f;
    enum err e = db_find(m, &q, &f);

    for (*ret_n = 0; !e && db_next(&f); ++*ret_n) {
        json_array_append_new(list, token_json(&f.doc));
        bson_oid_copy(doc_oid(&f.doc, "_id"), last); /* no other type is greater than an ObjectId */
    }
    db_end(&f);
    return e;
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

enum err mongo_refresh_valid(struct store *s, const struct refresh_page *page, json_t **ret)
{
    const char *ids[] = {page->id, page->before};
    bson_oid_t oids[2];

    *ret = json_array();
    for (int i = 0; i < 2; i++)
        if (ids[i] && !bson_oid_is_valid(ids[i], strlen(ids[i])))
            return ERR_OK;
        else if (ids[i])
            bson_oid_init_from_string(&oids[i], ids[i]);
    bson_t *filter = doc_of("client_id: ?, revoked: {$ne: true}, expires_at: {$gt: ?}, _id: ?",
                            v_text(page->client_id), v_date(page->now_ms),
                            page->id       ? v_own(doc_of("$eq: ?", v_oid(&oids[0])))
                            : page->before ? v_own(doc_of("$lt: ?", v_oid(&oids[1])))
                                           : v_none());
    struct db_found f;
    enum err e = DB_FIND(mongo_of(s), &f, .collection = REFRESH_TOKENS, .filter = filter,
                         .index = IX_REFRESH_RECENT, .sort = "_id: -1", .limit = page->limit);
    if (e) {
        json_decref(*ret);
        *ret = NULL;
        return e;
    }
    while (db_next(&f))
        json_array_append_new(*ret, token_json(&f.doc));
    db_end(&f);
    return ERR_OK;
}
