/* Data keys in the key vault. */
#ifndef WORKER_STORE_MONGO_VAULT_KEYS_H
#define WORKER_STORE_MONGO_VAULT_KEYS_H

#include "worker/secrets/master_keys.h"
#include "worker/store/mongo/mongo.h"

#define VAULT_DATABASE   "encryption"
#define VAULT_COLLECTION "__keyVault"
#define VAULT_KEY_NAME   "testflinger-secrets"

/* The index that keeps names unique; ERR_OK where it is there. */
enum err mongo_vault_index(struct mongo *db) MUST_CHECK;

/* Looks for our data key. ERR_NOT_FOUND: there is none; ERR_INVALID (logged): no master key unwraps
 * it. */
enum err mongo_vault_check(struct mongo *db, const struct master_keys *masters) MUST_CHECK;

/* Wraps our data keys by the first master key; *ret: how many were wrapped by another one. */
enum err mongo_vault_rotate(struct mongo *db, const struct master_keys *masters,
                            int64_t *ret) MUST_CHECK;

#endif
