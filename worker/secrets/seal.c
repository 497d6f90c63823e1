#include "worker/secrets/seal.h"

#include "common/mem.h"
#include "common/random.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <stdlib.h>
#include <string.h>

#define KEK_INFO   "testflinger-secrets sqlite kek 1"
#define VALUE_INFO "tf-secret-1"

enum { NONCE = 12, TAG = 16 };
_Static_assert(NONCE + TAG == SEAL_OVERHEAD, "SEAL_OVERHEAD is wrong");

/* The key that wraps data keys, of a master key. */
static bool kek_of(const struct master_key *master, uint8_t out[SEAL_KEY_SIZE])
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
    size_t len = SEAL_KEY_SIZE;
    bool ok = ctx && EVP_PKEY_derive_init(ctx) > 0 &&
              EVP_PKEY_CTX_set_hkdf_md(ctx, EVP_sha256()) > 0 &&
              EVP_PKEY_CTX_set1_hkdf_key(ctx, master->bytes, (int)master->len) > 0 &&
              EVP_PKEY_CTX_add1_hkdf_info(ctx, (const unsigned char *)KEK_INFO,
                                          (int)strlen(KEK_INFO)) > 0 &&
              EVP_PKEY_derive(ctx, out, &len) > 0 && len == SEAL_KEY_SIZE;

    EVP_PKEY_CTX_free(ctx);
    return ok;
}

/* AES-256-GCM; `nonce` and `tag` are read or, of the tag, written. */
static bool gcm(bool encrypt, const uint8_t key[SEAL_KEY_SIZE], const uint8_t nonce[NONCE],
                struct text aad, const uint8_t *in, size_t in_len, uint8_t *out, uint8_t tag[TAG])
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int len = 0;
    bool ok = ctx && in_len <= INT32_MAX &&
              EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce, encrypt) &&
              (encrypt || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG, tag)) &&
              EVP_CipherUpdate(ctx, NULL, &len, (const uint8_t *)aad.s, (int)aad.len) &&
              EVP_CipherUpdate(ctx, out, &len, in, (int)in_len) &&
              EVP_CipherFinal_ex(ctx, out + len, &len) &&
              (!encrypt || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG, tag));

    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

/* Seals into nonce, ciphertext, tag. */
static bool seal(const uint8_t key[SEAL_KEY_SIZE], struct text aad, const uint8_t *in, size_t len,
                 uint8_t *out)
{
    random_fill(out, NONCE);
    return gcm(true, key, out, aad, in, len, out + NONCE, out + NONCE + len);
}

static bool unseal(const uint8_t key[SEAL_KEY_SIZE], struct text aad, struct text sealed,
                   uint8_t *out)
{
    const uint8_t *s = (const uint8_t *)sealed.s;
    uint8_t tag[TAG];

    if (sealed.len < SEAL_OVERHEAD)
        return false;
    memcpy(tag, s + sealed.len - TAG, TAG);
    return gcm(false, key, s, aad, s + NONCE, sealed.len - SEAL_OVERHEAD, out, tag);
}

void seal_key_make(struct seal_key *ret)
{
    random_fill(ret->id, sizeof ret->id);
    random_fill(ret->key, sizeof ret->key);
}

static struct text id_of(const struct seal_key *key)
{
    return (struct text){(const char *)key->id, sizeof key->id};
}

bool seal_key_wrap(const struct master_key *master, const struct seal_key *key,
                   uint8_t out[SEAL_WRAPPED_SIZE])
{
    uint8_t kek[SEAL_KEY_SIZE];
    bool ok = kek_of(master, kek) && seal(kek, id_of(key), key->key, sizeof key->key, out);

    OPENSSL_cleanse(kek, sizeof kek);
    return ok;
}

bool seal_key_unwrap(const struct master_keys *masters, struct text wrapped, struct seal_key *key,
                     size_t *ret_which)
{
    uint8_t kek[SEAL_KEY_SIZE];
    bool ok = false;

    for (size_t i = 0; !ok && wrapped.len == SEAL_WRAPPED_SIZE && i < masters->len; i++) {
        ok = kek_of(&masters->keys[i], kek) && unseal(kek, id_of(key), wrapped, key->key);
        *ret_which = i;
    }
    OPENSSL_cleanse(kek, sizeof kek);
    return ok;
}

/* What a value is bound to: "tf-secret-1", client, path and id of its key, a NUL between them. The
 * caller frees the text. */
static struct text place_of(const struct seal_key *key, struct text client, struct text path)
{
    size_t len = sizeof VALUE_INFO + client.len + 1 + path.len + 1 + SEAL_ID_SIZE;
    char *all = mem_alloc(len), *at = all + sizeof VALUE_INFO;

    memcpy(all, VALUE_INFO, sizeof VALUE_INFO);
    memcpy(at, client.s, client.len);
    at += client.len + 1;
    memcpy(at, path.s, path.len);
    memcpy(at + path.len + 1, key->id, SEAL_ID_SIZE);
    return (struct text){all, len};
}

bool seal_value(const struct seal_key *key, struct text client, struct text path, struct text value,
                uint8_t *out)
{
    struct text place = place_of(key, client, path);
    bool ok = seal(key->key, place, (const uint8_t *)value.s, value.len, out);

    free((char *)(uintptr_t)place.s);
    return ok;
}

bool seal_open(const struct seal_key *key, struct text client, struct text path, struct text sealed,
               uint8_t *out)
{
    struct text place = place_of(key, client, path);
    bool ok = unseal(key->key, place, sealed, out);

    free((char *)(uintptr_t)place.s);
    return ok;
}
