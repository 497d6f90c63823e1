#include "worker/webhook/sign.h"

#include "common/mem.h"
#include "worker/encoding/base64.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX     "whsec_"
#define SECRET_MIN 16
#define SECRET_MAX 1024
#define SEPARATORS ", \t\r\n"

/* The next secret of a list; false: the end. */
static bool next_secret(const char **list, struct text *ret)
{
    *list += strspn(*list, SEPARATORS);
    *ret = (struct text){*list, strcspn(*list, SEPARATORS)};
    *list += ret->len;
    return ret->len > 0;
}

/* Decodes a secret into its key; false: not a valid secret. */
static bool key_of(struct text secret, struct buf *key)
{
    size_t n = strlen(PREFIX);

    if (secret.len >= n && memcmp(secret.s, PREFIX, n) == 0)
        return base64_decode((struct text){secret.s + n, secret.len - n}, BASE64_STANDARD, key) &&
               key->len >= SECRET_MIN;
    return secret.len >= SECRET_MIN && !buf_add(key, secret.s, secret.len);
}

bool sign_secrets_valid(const char *secrets)
{
    struct text secret;
    bool valid = true;

    while (valid && next_secret(&secrets, &secret)) {
        struct buf key = BUF_INIT(SECRET_MAX);
        valid = key_of(secret, &key);
        buf_free(&key);
    }
    return valid;
}

static enum err add_signature(struct text secret, struct text message, struct buf *out)
{
    struct buf key = BUF_INIT(SECRET_MAX);
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    enum err e = ERR_INTERNAL;

    if (key_of(secret, &key) && HMAC(EVP_sha256(), key.data, (int)key.len,
                                     (const unsigned char *)message.s, message.len, mac, &len))
        e = buf_printf(out, "%sv1,", out->len ? " " : "");
    if (!e)
        e = base64_encode(mac, len, BASE64_STANDARD, out);
    buf_free(&key);
    return e;
}

enum err sign_event(const char *secrets, const char *id, int64_t timestamp, struct text body,
                    struct buf *out)
{
    struct buf message = BUF_INIT(body.len + 128);
    struct text secret;
    enum err e = ERR_OK;

    if (!*(secrets + strspn(secrets, SEPARATORS)))
        return ERR_OK;
    e = buf_printf(&message, "%s.%lld.", id, (long long)timestamp);
    if (!e)
        e = buf_add(&message, body.s, body.len);
    while (!e && next_secret(&secrets, &secret))
        e = add_signature(secret, (struct text){message.data, message.len}, out);
    buf_free(&message);
    return e;
}
