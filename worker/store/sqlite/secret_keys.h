/* The keys of secrets, of one connection. */
#ifndef WORKER_STORE_SQLITE_SECRET_KEYS_H
#define WORKER_STORE_SQLITE_SECRET_KEYS_H

#include "worker/secrets/master_keys.h"
#include "worker/secrets/seal.h"
#include "worker/store/sqlite/sqlite.h"

#define SEAL_KEYS_KNOWN 4

struct sqlite_secrets {
    struct master_keys masters;
    struct seal_key known[SEAL_KEYS_KNOWN]; /* data keys that were used last */
    bool used[SEAL_KEYS_KNOWN];
    size_t next; /* to be replaced, modulo SEAL_KEYS_KNOWN */
};

/* Loads the master keys, where there are any, and checks that they unwrap all data keys.
 * ERR_INVALID (logged). */
enum err sqlite_secrets_open(struct sqlite *q, const char *uri,
                             const struct config *cfg) MUST_CHECK;
void sqlite_secrets_close(struct sqlite *q);

/* The data key for new values, made when there is none. Within a write. */
enum err sqlite_secrets_newest(struct sqlite *q, const struct seal_key **ret) MUST_CHECK;

/* The data key of this id. ERR_INVALID (logged): no master key unwraps it. */
enum err sqlite_secrets_key(struct sqlite *q, struct text id,
                            const struct seal_key **ret) MUST_CHECK;

/* Opens the value of a row; *ret is the caller's, to be freed by mem_wipe(), NULL: it cannot be
 * decrypted. */
enum err sqlite_secret_open(struct sqlite *q, struct text client, struct text path,
                            const struct query *row, char **ret, size_t *ret_len) MUST_CHECK;

#endif
