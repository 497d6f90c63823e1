/* The keys of TESTFLINGER_SECRETS_MASTER_KEY, which wrap the data keys of secrets. */
#ifndef WORKER_SECRETS_MASTER_KEYS_H
#define WORKER_SECRETS_MASTER_KEYS_H

#include "common/config.h"
#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MASTER_KEYS_MAX 8
#define MASTER_KEY_SIZE 96 /* of a key that we make; the only length that MongoDB takes */
#define MASTER_KEY_MIN  32
#define MASTER_KEY_MAX  256

/* The file beside SQLite's database that holds the keys where the setting has none. */
#define MASTER_KEY_FILE "secrets-key"

struct master_key {
    uint8_t bytes[MASTER_KEY_MAX];
    size_t len;
};

/* The first wraps, each may unwrap. len 0: there are no secrets. */
struct master_keys {
    struct master_key keys[MASTER_KEYS_MAX];
    size_t len;
};

/* Reads the keys for the store of this URI: from the setting or, for SQLite, from the file.
 * ERR_INVALID (logged): a key is malformed, the file can be read by others, or settings of Vault
 * are there. Wipe the result with OPENSSL_cleanse(). */
enum err master_keys_load(const struct config *cfg, const char *store_uri,
                          struct master_keys *ret) MUST_CHECK;

/* Whether they can be loaded; for the start of a program, whose log tells why not. */
bool master_keys_check(const struct config *cfg, const char *store_uri);

/* Whether there are any. */
bool master_keys_exist(const struct config *cfg, const char *store_uri);

/* The path of the file for the store of this URI, owned by the caller; NULL: it is not SQLite. */
char *master_keys_path(const char *store_uri);

/* A new key in base64, owned by the caller. */
char *master_key_make(void);

#endif
