/* The key vault of secrets on MongoDB, and the encryption of values by its data key: client-side
 * field-level encryption as other drivers have it, explicit, so that the reference server reads and
 * writes the same documents.
 *
 * The vault may be on another MongoDB (TESTFLINGER_KEY_VAULT_URI). While it is away, values are
 * neither read nor written; it is asked again after VAULT_RETRY_MS, or VAULT_RESTS times as long as
 * the fault took. The library keeps a data key for 60 s. */
#ifndef WORKER_STORE_MONGO_VAULT_H
#define WORKER_STORE_MONGO_VAULT_H

#include "worker/secrets/master_keys.h"
#include "worker/store/mongo/mongo.h"

#define VAULT_RETRY_MS 1000
#define VAULT_RESTS    10

struct mongo_vault {
    struct master_keys masters;
    struct mongo db;         /* the vault's database */
    bool ready;              /* the data key is there, and a master key unwraps it */
    int64_t next_try_ms;     /* clock_mono_ms(); while not ready */
    mongoc_client_t *client; /* of the encryptions: db.client may be replaced */
    /* One of each master key: a data key is wrapped by one of them. NULL: none. */
    mongoc_client_encryption_t *encryptions[MASTER_KEYS_MAX];
};

/* Loads the master keys of the store; *ret stays NULL when there are none. Looks at the vault at
 * `uri`, makes its data key if it has none, and checks that the keys fit. ERR_INVALID (logged):
 * they do not, or settings are malformed. A vault that does not answer is no error here. */
enum err mongo_vault_new(const char *store_uri, const struct config *cfg, const mongoc_uri_t *uri,
                         struct mongo_vault **ret) MUST_CHECK;
void mongo_vault_close(struct mongo_vault *v); /* may be NULL */

/* Encrypts; *ret is to be destroyed by bson_value_destroy(). ERR_UNAVAILABLE: the vault is away. */
enum err mongo_vault_encrypt(struct mongo_vault *v, struct text value,
                             bson_value_t *ret) MUST_CHECK;

/* Decrypts; *ret is the caller's, to be freed by mem_wipe(). ERR_UNAVAILABLE: the vault is away;
 * ERR_INVALID: no key fits, or it is damaged. */
enum err mongo_vault_decrypt(struct mongo_vault *v, const bson_value_t *sealed, char **ret,
                             size_t *ret_len) MUST_CHECK;

#endif
