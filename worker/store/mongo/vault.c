#include "worker/store/mongo/vault.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "worker/store/mongo/doc.h"
#include "worker/store/mongo/vault_keys.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

/* ---- the library's encryptions ---- */

static void encryptions_drop(struct mongo_vault *v)
{
    for (size_t i = 0; i < MASTER_KEYS_MAX; i++) {
        mongoc_client_encryption_destroy(v->encryptions[i]);
        v->encryptions[i] = NULL;
    }
    mongoc_client_destroy(v->client);
    v->client = NULL;
}

static mongoc_client_encryption_t *encryption_new(struct mongo_vault *v,
                                                  const struct master_key *master)
{
    struct text key = {(const char *)master->bytes, master->len};
    bson_t *providers = doc_of("local: {key: ?}", v_bytes(key));
    mongoc_client_encryption_opts_t *opts = mongoc_client_encryption_opts_new();
    bson_error_t error = {0};

    mongoc_client_encryption_opts_set_keyvault_client(opts, v->client);
    mongoc_client_encryption_opts_set_keyvault_namespace(opts, VAULT_DATABASE, VAULT_COLLECTION);
    mongoc_client_encryption_opts_set_kms_providers(opts, providers);
    mongoc_client_encryption_t *made = mongoc_client_encryption_new(opts, &error);
    if (!made)
        log_error("cannot set up the encryption of secrets: %s; use libmongoc of Debian",
                  error.message);
    mongoc_client_encryption_opts_destroy(opts);
    OPENSSL_cleanse((void *)(uintptr_t)bson_get_data(providers), providers->len);
    bson_destroy(providers);
    return made;
}

/* ERR_UNAVAILABLE: the hosts cannot be resolved; ERR_INTERNAL (logged). */
static enum err encryptions_make(struct mongo_vault *v)
{
    encryptions_drop(v);
    v->client = mongo_client_new(v->db.uri);
    if (!v->client)
        return ERR_UNAVAILABLE;
    for (size_t i = 0; i < v->masters.len; i++)
        if (!(v->encryptions[i] = encryption_new(v, &v->masters.keys[i])))
            return ERR_INTERNAL;
    return ERR_OK;
}

/* What the library's error means: its own domain tells of keys and damage, others of the
 * connection. */
static enum err error_err(const bson_error_t *error)
{
    return error->domain == MONGOC_ERROR_CLIENT_SIDE_ENCRYPTION ? ERR_INVALID : ERR_UNAVAILABLE;
}

/* Makes the data key, wrapped by the first master key. ERR_OK also where another process has. */
static enum err data_key_make(struct mongo_vault *v)
{
    mongoc_client_encryption_datakey_opts_t *opts = mongoc_client_encryption_datakey_opts_new();
    char name[] = VAULT_KEY_NAME, *names[] = {name};
    bson_value_t id = {0};
    bson_error_t error = {0};
    enum err e = ERR_OK;

    mongoc_client_encryption_datakey_opts_set_keyaltnames(opts, names, 1);
    if (mongoc_client_encryption_create_datakey(v->encryptions[0], "local", opts, &id, &error))
        bson_value_destroy(&id);
    else if (error.code != MONGOC_ERROR_DUPLICATE_KEY)
        e = mongo_failed(&v->db, "the data key of secrets", &error);
    mongoc_client_encryption_datakey_opts_destroy(opts);
    return e;
}

/* ---- the vault ---- */

static enum err prepare(struct mongo_vault *v)
{
    enum err e = ERR_OK;

    if (!v->db.client && !(v->db.client = mongo_client_new(v->db.uri)))
        return ERR_UNAVAILABLE;
    e = encryptions_make(v);
    if (!e)
        e = mongo_vault_check(&v->db, &v->masters);
    if (e != ERR_NOT_FOUND)
        return e;
    e = mongo_vault_index(&v->db);
    if (!e)
        e = data_key_make(v);
    return e ? e : mongo_vault_check(&v->db, &v->masters);
}

/* Rests after a fault: for longer after one that took long, so that a vault that stands still takes
 * little of this process's time. */
static void rest(struct mongo_vault *v, int64_t began_ms)
{
    int64_t now = clock_mono_ms(), ms = VAULT_RESTS * (now - began_ms);

    v->ready = false;
    v->next_try_ms = now + (ms > VAULT_RETRY_MS ? ms : VAULT_RETRY_MS);
}

/* Gets the vault ready unless it failed a moment ago. Once the server runs, any fault is one that
 * may pass: an operator may mend it. */
static enum err want(struct mongo_vault *v)
{
    if (v->ready)
        return ERR_OK;
    int64_t began_ms = clock_mono_ms();
    if (began_ms < v->next_try_ms)
        return ERR_UNAVAILABLE;
    enum err e = prepare(v);
    v->ready = !e;
    if (e)
        rest(v, began_ms);
    return e;
}

/* After an error of the connection: a fresh one is made at the next try. */
static enum err lose(struct mongo_vault *v, int64_t began_ms, const bson_error_t *error)
{
    rest(v, began_ms);
    log_error("the key vault of secrets does not answer: %s; check that its MongoDB runs and can "
              "be reached",
              error->message);
    return ERR_UNAVAILABLE;
}

enum err mongo_vault_new(const char *store_uri, const struct config *cfg, const mongoc_uri_t *uri,
                         struct mongo_vault **ret)
{
    struct mongo_vault *v = mem_alloc(sizeof *v);
    enum err e = master_keys_load(cfg, store_uri, &v->masters);

    if (e || !v->masters.len) {
        mongo_vault_close(v);
        return e;
    }
    v->db.uri = mongoc_uri_copy(uri);
    v->db.database = VAULT_DATABASE;
    e = want(v);
    if (e == ERR_INVALID) {
        mongo_vault_close(v);
        return e;
    }
    if (e)
        log_error("the key vault of secrets is not there yet: jobs with secrets wait until it is");
    *ret = v;
    return ERR_OK;
}

void mongo_vault_close(struct mongo_vault *v)
{
    if (!v)
        return;
    encryptions_drop(v);
    mongoc_client_destroy(v->db.client);
    mongoc_uri_destroy(v->db.uri);
    OPENSSL_cleanse(&v->masters, sizeof v->masters);
    free(v);
}

/* ---- values ---- */

/* Overwrites the library's copy of a value. */
static void value_wipe(bson_value_t *value)
{
    if (value->value_type == BSON_TYPE_BINARY)
        OPENSSL_cleanse(value->value.v_binary.data, value->value.v_binary.data_len);
    bson_value_destroy(value);
}

enum err mongo_vault_encrypt(struct mongo_vault *v, struct text value, bson_value_t *ret)
{
    enum err e = want(v);
    int64_t began_ms = clock_mono_ms();
    bson_error_t error = {0};

    if (e)
        return ERR_UNAVAILABLE;
    mongoc_client_encryption_encrypt_opts_t *opts = mongoc_client_encryption_encrypt_opts_new();
    const bson_value_t plain = {.value_type = BSON_TYPE_BINARY,
                                .value.v_binary = {.subtype = BSON_SUBTYPE_BINARY,
                                                   .data_len = (uint32_t)value.len,
                                                   .data = (uint8_t *)(uintptr_t)value.s}};
    mongoc_client_encryption_encrypt_opts_set_keyaltname(opts, VAULT_KEY_NAME);
    mongoc_client_encryption_encrypt_opts_set_algorithm(
        opts, MONGOC_AEAD_AES_256_CBC_HMAC_SHA_512_RANDOM);
    e = ERR_INVALID;
    for (size_t i = 0; e == ERR_INVALID && i < v->masters.len; i++)
        e = mongoc_client_encryption_encrypt(v->encryptions[i], (bson_value_t *)(uintptr_t)&plain,
                                             opts, ret, &error)
                ? ERR_OK
                : error_err(&error);
    mongoc_client_encryption_encrypt_opts_destroy(opts);
    if (e == ERR_INVALID) {
        log_error("cannot encrypt a secret: %s; run testflinger-admin secrets check",
                  error.message);
        return ERR_INTERNAL;
    }
    return e ? lose(v, began_ms, &error) : ERR_OK;
}

enum err mongo_vault_decrypt(struct mongo_vault *v, const bson_value_t *sealed, char **ret,
                             size_t *ret_len)
{
    bson_error_t error = {0};
    bson_value_t plain = {0};

    if (want(v))
        return ERR_UNAVAILABLE;
    int64_t began_ms = clock_mono_ms();
    enum err e = ERR_INVALID;
    for (size_t i = 0; e == ERR_INVALID && i < v->masters.len; i++)
        e = mongoc_client_encryption_decrypt(v->encryptions[i], (bson_value_t *)(uintptr_t)sealed,
                                             &plain, &error)
                ? ERR_OK
                : error_err(&error);
    if (e)
        return e == ERR_INVALID ? e : lose(v, began_ms, &error);
    if (plain.value_type == BSON_TYPE_BINARY) {
        *ret_len = plain.value.v_binary.data_len;
        *ret = mem_strndup((const char *)plain.value.v_binary.data, *ret_len);
    } else {
        e = ERR_INVALID;
    }
    value_wipe(&plain);
    return e;
}
