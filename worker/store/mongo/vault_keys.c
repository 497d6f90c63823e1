/* Data keys in the key vault: {_id: UUID, keyAltNames, keyMaterial, creationDate, updateDate,
 * status, masterKey: {provider: "local"}}. */
#include "worker/store/mongo/vault_keys.h"

#include "common/clock.h"
#include "common/log.h"
#include "worker/secrets/data_key.h"
#include "worker/store/mongo/db.h"

#include <openssl/crypto.h>

#define KEYS_MAX 64 /* data keys of our name; the index allows one, other tools may lack it */

#define NO_KEY                                                                                     \
    "no key of TESTFLINGER_SECRETS_MASTER_KEY unwraps the data key \"" VAULT_KEY_NAME              \
    "\" in " VAULT_DATABASE "." VAULT_COLLECTION "; give the key that it was made with"

enum err mongo_vault_index(struct mongo *db)
{
    bson_t reply;
    enum err e = db_write(
        db,
        doc_of("createIndexes: '" VAULT_COLLECTION "', indexes: [{key: {keyAltNames: 1}, name: "
               "'keyAltNames_1', unique: true, partialFilterExpression: {keyAltNames: {$exists: "
               "true}}}]"),
        &reply);

    if (!e)
        bson_destroy(&reply);
    return e == ERR_CONFLICT ? ERR_OK : e; /* one with other options: another tool's */
}

static enum err find_ours(struct mongo *db, struct db_found *ret)
{
    return DB_FIND(db, ret, .collection = VAULT_COLLECTION,
                   .filter = doc_of("keyAltNames: '" VAULT_KEY_NAME "'"),
                   .fields = "keyMaterial: true, masterKey: true", .limit = KEYS_MAX);
}

/* The master key that has wrapped a data key; -1: none of these. */
static int unwrap(const struct master_keys *masters, const bson_t *doc, uint8_t key[DATA_KEY_SIZE])
{
    for (size_t i = 0; i < masters->len; i++)
        if (data_key_unwrap(&masters->keys[i], doc_bytes(doc, "keyMaterial"), key))
            return (int)i;
    return -1;
}

enum err mongo_vault_check(struct mongo *db, const struct master_keys *masters)
{
    uint8_t key[DATA_KEY_SIZE];
    struct db_found f;
    size_t seen = 0;
    enum err e = find_ours(db, &f);

    for (; !e && db_next(&f); seen++)
        if (unwrap(masters, &f.doc, key) < 0)
            e = ERR_INVALID;
    db_end(&f);
    OPENSSL_cleanse(key, sizeof key);
    if (seen && e == ERR_INVALID)
        log_error(NO_KEY);
    return e ? e : seen ? ERR_OK : ERR_NOT_FOUND;
}

/* Wraps a data key anew unless the first master key has wrapped it, as other tools name that. */
static enum err rotate_key(struct mongo *db, const struct master_keys *masters, const bson_t *doc,
                           int64_t *done)
{
    uint8_t key[DATA_KEY_SIZE], material[DATA_KEY_MATERIAL];
    int which = unwrap(masters, doc, key);
    enum err e = ERR_OK;

    if (which < 0) {
        log_error(NO_KEY);
        e = ERR_INVALID;
    } else if (which > 0 || !doc_text_is(doc, "masterKey.provider", "local")) {
        if (!data_key_wrap(&masters->keys[0], key, material))
            e = ERR_INTERNAL;
        if (!e)
            e = DB_UPDATE(
                db, VAULT_COLLECTION, NULL,
                .filter = doc_of("_id: ?, keyMaterial: ?", v_field(doc, "_id"),
                                 v_field(doc, "keyMaterial")),
                .update = doc_of("$set: {keyMaterial: ?, masterKey: {provider: 'local'}, "
                                 "updateDate: ?}",
                                 v_bytes((struct text){(const char *)material, sizeof material}),
                                 v_date(clock_wall_us() / 1000)));
        *done += !e;
    }
    OPENSSL_cleanse(key, sizeof key);
    return e;
}

enum err mongo_vault_rotate(struct mongo *db, const struct master_keys *masters, int64_t *ret)
{
    struct db_found f;
    enum err e = find_ours(db, &f);

    *ret = 0;
    while (!e && db_next(&f))
        e = rotate_key(db, masters, &f.doc, ret);
    db_end(&f);
    return e;
}
