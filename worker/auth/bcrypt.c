#include "worker/auth/bcrypt.h"

#include "common/log.h"
#include "common/random.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define HASH_LEN         60
#define ROUNDS_MIN       4  /* the least that bcrypt has */
#define SECRET_MAX       72 /* bytes that bcrypt looks at */
#define REMEMBERED_MAX   256
#define REMEMBER_KEY_LEN 32

/* Correct secrets, as HMAC-SHA-256 over hash and secret with a random key of this process. */
static struct {
    bool ready;
    unsigned char key[REMEMBER_KEY_LEN];
    struct {
        unsigned char tag[SHA256_DIGEST_LENGTH];
        int64_t until;
    } rows[REMEMBERED_MAX];
    size_t next;
} remembered;

static int rounds_seen;

/* Rounds of a bcrypt hash; 0: not bcrypt, or above BCRYPT_ROUNDS_MAX. */
static int rounds_of(const char *hash)
{
    int rounds;

    if (strlen(hash) != HASH_LEN || strncmp(hash, "$2", 2) != 0 || !strchr("aby", hash[2]) ||
        hash[3] != '$' || hash[6] != '$')
        return 0;
    if (hash[4] < '0' || hash[4] > '9' || hash[5] < '0' || hash[5] > '9')
        return 0;
    rounds = (hash[4] - '0') * 10 + hash[5] - '0';
    return rounds >= ROUNDS_MIN && rounds <= BCRYPT_ROUNDS_MAX ? rounds : 0;
}

/* Hashes with the salt of `salt`, which may be a whole hash. False: libxcrypt refuses it. */
static bool run(const char *salt, struct text secret, char out[BCRYPT_HASH_SIZE])
{
    static struct crypt_data data; /* 32 KiB; a worker has one thread */
    char phrase[SECRET_MAX + 1] = "";

    memcpy(phrase, secret.s, secret.len < SECRET_MAX ? secret.len : SECRET_MAX);
    const char *hash = crypt_rn(phrase, salt, &data, (int)sizeof data);
    bool ok = hash && strlen(hash) == HASH_LEN;
    if (ok)
        memcpy(out, hash, HASH_LEN + 1);
    explicit_bzero(phrase, sizeof phrase);
    explicit_bzero(&data, sizeof data);
    return ok;
}

static bool holds_nul(struct text t)
{
    return t.len && memchr(t.s, '\0', t.len);
}

enum err bcrypt_hash(struct text secret, int rounds, char out[BCRYPT_HASH_SIZE])
{
    char salt[CRYPT_GENSALT_OUTPUT_SIZE];

    if (!secret.len || holds_nul(secret))
        return ERR_INVALID;
    if (!crypt_gensalt_rn("$2b$", (unsigned long)rounds, NULL, 0, salt, (int)sizeof salt) ||
        !run(salt, secret, out)) {
        log_error("libcrypt does not make bcrypt hashes of %d rounds; install libcrypt1 of a "
                  "release that does",
                  rounds);
        return ERR_INTERNAL;
    }
    return ERR_OK;
}

/* Burns the time of one hash each of `from` to `to` - 1 rounds. With one more of `from` rounds that
 * is the time of one hash of `to` rounds: time doubles with each round. */
static void waste(int from, int to)
{
    static const struct text nobody = {"nobody has this secret", 22};
    char salt[CRYPT_GENSALT_OUTPUT_SIZE], ignored[BCRYPT_HASH_SIZE];

    for (int r = from; r < to; r++) {
        snprintf(salt, sizeof salt, "$2b$%02d$abcdefghijklmnopqrstuu", r);
        if (!run(salt, nobody, ignored))
            return;
    }
}

static void tag_of(const char *hash, struct text secret, unsigned char tag[SHA256_DIGEST_LENGTH])
{
    unsigned char input[HASH_LEN + SECRET_MAX] = {0};
    size_t len = secret.len < SECRET_MAX ? secret.len : SECRET_MAX;

    if (!remembered.ready)
        random_fill(remembered.key, sizeof remembered.key);
    remembered.ready = true;
    memcpy(input, hash, HASH_LEN);
    memcpy(input + HASH_LEN, secret.s, len);
    HMAC(EVP_sha256(), remembered.key, (int)sizeof remembered.key, input, HASH_LEN + len, tag,
         NULL);
    explicit_bzero(input, sizeof input);
}

static bool is_remembered(const unsigned char *tag, int64_t now_ms)
{
    bool found = false;

    for (size_t i = 0; i < REMEMBERED_MAX; i++)
        if (remembered.rows[i].until > now_ms &&
            CRYPTO_memcmp(remembered.rows[i].tag, tag, SHA256_DIGEST_LENGTH) == 0)
            found = true;
    return found;
}

static void remember(const unsigned char *tag, int64_t now_ms)
{
    memcpy(remembered.rows[remembered.next].tag, tag, SHA256_DIGEST_LENGTH);
    remembered.rows[remembered.next].until = now_ms + (int64_t)BCRYPT_REMEMBERED * 1000;
    remembered.next = (remembered.next + 1) % REMEMBERED_MAX;
}

bool bcrypt_check(const char *hash, struct text secret, int rounds, int64_t now_ms)
{
    unsigned char tag[SHA256_DIGEST_LENGTH];
    char again[BCRYPT_HASH_SIZE];
    int cost = hash ? rounds_of(hash) : 0;

    if (cost > rounds_seen)
        rounds_seen = cost;
    if (rounds_seen > rounds)
        rounds = rounds_seen;
    if (!cost || !secret.len || holds_nul(secret)) {
        waste(rounds, rounds + 1);
        return false;
    }
    tag_of(hash, secret, tag);
    if (is_remembered(tag, now_ms))
        return true;
    bool same = run(hash, secret, again) && CRYPTO_memcmp(again, hash, HASH_LEN) == 0;
    if (same)
        remember(tag, now_ms);
    else
        waste(cost, rounds);
    return same;
}
