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

/* How long a secret that was right needs no second hash, in seconds. */
#define BCRYPT_REMEMBERED 60

/* Hashes a secret with a fresh salt. bcrypt looks at its first 72 bytes. ERR_INVALID: the secret is
 * empty or holds a NUL; ERR_INTERNAL (logged). */
enum err bcrypt_hash(struct text secret, int rounds, char out[BCRYPT_HASH_SIZE]) MUST_CHECK;

/* Whether the secret is the one that was hashed. `hash` is NULL for a client that is unknown or has
 * none: that is never right, and costs as much time as a wrong secret, which is made to cost as
 * much as `rounds` or the dearest hash seen so far. A right secret is remembered (as a keyed digest
 * in this process) so that a client that logs in again and again does not cost a hash each time;
 * `now_ms` is a clock that never goes back. */
bool bcrypt_check(const char *hash, struct text secret, int rounds, int64_t now_ms);

/* Fills with random bytes; ends the process where the system has none. */
void random_fill(void *out, size_t len);

#endif
