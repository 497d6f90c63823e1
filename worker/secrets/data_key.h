/* Data keys of MongoDB's client-side encryption, wrapped by the KMS provider "local": the library
 * cannot re-wrap one from one local key to another. */
#ifndef WORKER_SECRETS_DATA_KEY_H
#define WORKER_SECRETS_DATA_KEY_H

#include "common/text.h"
#include "worker/secrets/master_keys.h"

#define DATA_KEY_SIZE     96
#define DATA_KEY_MATERIAL 160 /* IV 16, AES-256-CBC of the key 112, tag 32 */

/* Wraps by a master key of MASTER_KEY_SIZE bytes. False: libcrypto failed. */
bool data_key_wrap(const struct master_key *master, const uint8_t key[DATA_KEY_SIZE],
                   uint8_t out[DATA_KEY_MATERIAL]);

/* False: another key has wrapped it, or it is damaged. */
bool data_key_unwrap(const struct master_key *master, struct text material,
                     uint8_t out[DATA_KEY_SIZE]);

#endif
