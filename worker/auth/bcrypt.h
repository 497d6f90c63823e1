/* Client secrets: bcrypt hashes, as the existing tools write them. Hashing is slow on purpose
 * (about 50 ms with 10 rounds, twice that with each one more), so it has worker processes of its
 * own. */
#ifndef WORKER_AUTH_BCRYPT_H
#define WORKER_AUTH_BCRYPT_H

#include "common/envelope.h"

#include <stdbool.h>

#define BCRYPT_HASH_SIZE 64 /* "$2b$", its 60 characters and a NUL */

/* Hashes that cost more are refused: one of 31 rounds would take a day. */
#define BCRYPT_ROUNDS_MAX 16

/* Seconds for which a correct secret is remembered and not hashed again. */
#define BCRYPT_REMEMBERED 60

/* Hashes a secret with a fresh salt. bcrypt looks at its first 72 bytes. ERR_INVALID: the secret is
 * empty or holds a NUL; ERR_INTERNAL (logged). */
enum err bcrypt_hash(struct text secret, int rounds, char out[BCRYPT_HASH_SIZE]) MUST_CHECK;

/* Whether the secret matches the hash. `hash` may be NULL (unknown client, no secret): never true.
 * Every failure takes as long as a hash of max(`rounds`, the most rounds seen so far), so that the
 * time does not tell which clients exist. A correct secret is remembered in this process as a
 * keyed digest for BCRYPT_REMEMBERED s; `now_ms` is monotonic. */
bool bcrypt_check(const char *hash, struct text secret, int rounds, int64_t now_ms);

#endif
