/* Secrets on SQLite: AES-256-GCM under a data key, which a master key wraps. A sealed value opens
 * only under its client and path, a wrapped key only under its id. */
#ifndef WORKER_SECRETS_SEAL_H
#define WORKER_SECRETS_SEAL_H

#include "common/text.h"
#include "worker/secrets/master_keys.h"

#define SEAL_ID_SIZE      16
#define SEAL_KEY_SIZE     32
#define SEAL_OVERHEAD     28 /* nonce 12, tag 16 */
#define SEAL_WRAPPED_SIZE (SEAL_KEY_SIZE + SEAL_OVERHEAD)

struct seal_key {
    uint8_t id[SEAL_ID_SIZE];
    uint8_t key[SEAL_KEY_SIZE];
};

/* A new random key. */
void seal_key_make(struct seal_key *ret);

/* False: libcrypto failed. */
bool seal_key_wrap(const struct master_key *master, const struct seal_key *key,
                   uint8_t out[SEAL_WRAPPED_SIZE]);

/* Fills key->key; key->id is given. *ret_which: the master key that has wrapped it. False: none of
 * these has. */
bool seal_key_unwrap(const struct master_keys *masters, struct text wrapped, struct seal_key *key,
                     size_t *ret_which);

/* Writes value.len + SEAL_OVERHEAD bytes. False: libcrypto failed. */
bool seal_value(const struct seal_key *key, struct text client, struct text path, struct text value,
                uint8_t *out);

/* Writes sealed.len - SEAL_OVERHEAD bytes. False: it is not what was sealed there. */
bool seal_open(const struct seal_key *key, struct text client, struct text path, struct text sealed,
               uint8_t *out);

#endif
