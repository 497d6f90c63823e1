#include "worker/secrets/data_key.h"

#include "common/random.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

enum { IV = 16, BODY = 112, TAG = 32, MAC_KEY = 32, DIGEST = 64, LENGTH = 8 };

/* The first half of HMAC-SHA-512 over IV, ciphertext and the length of the associated data, which
 * is empty. */
static bool make_tag(const struct master_key *master, const uint8_t *sealed, uint8_t out[TAG])
{
    uint8_t text[IV + BODY + LENGTH] = {0}, digest[DIGEST];
    unsigned len = 0;

    memcpy(text, sealed, IV + BODY);
    if (!HMAC(EVP_sha512(), master->bytes, MAC_KEY, text, sizeof text, digest, &len))
        return false;
    memcpy(out, digest, TAG);
    return len == DIGEST;
}

/* AES-256-CBC with padding; the cipher's key follows that of the MAC. False: it failed. */
static bool cipher(bool encrypt, const struct master_key *master, const uint8_t iv[IV],
                   const uint8_t *in, int in_len, uint8_t *out, int expected)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int len = 0, last = 0;
    bool ok =
        ctx && master->len == MASTER_KEY_SIZE &&
        EVP_CipherInit_ex(ctx, EVP_aes_256_cbc(), NULL, master->bytes + MAC_KEY, iv, encrypt) &&
        EVP_CipherUpdate(ctx, out, &len, in, in_len) && EVP_CipherFinal_ex(ctx, out + len, &last) &&
        len + last == expected;

    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

bool data_key_wrap(const struct master_key *master, const uint8_t key[DATA_KEY_SIZE],
                   uint8_t out[DATA_KEY_MATERIAL])
{
    random_fill(out, IV);
    return cipher(true, master, out, key, DATA_KEY_SIZE, out + IV, BODY) &&
           make_tag(master, out, out + IV + BODY);
}

bool data_key_unwrap(const struct master_key *master, struct text material,
                     uint8_t out[DATA_KEY_SIZE])
{
    const uint8_t *sealed = (const uint8_t *)material.s;
    uint8_t tag[TAG], key[BODY];

    if (material.len != DATA_KEY_MATERIAL || !make_tag(master, sealed, tag) ||
        CRYPTO_memcmp(tag, sealed + IV + BODY, TAG) != 0)
        return false;
    bool ok = cipher(false, master, sealed, sealed + IV, BODY, key, DATA_KEY_SIZE);
    if (ok)
        memcpy(out, key, DATA_KEY_SIZE);
    OPENSSL_cleanse(key, sizeof key);
    return ok;
}
