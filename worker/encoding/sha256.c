#include "worker/encoding/sha256.h"

#include <openssl/sha.h>
#include <stdio.h>

void sha256_text(struct text data, char out[SHA256_TEXT_SIZE])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];

    SHA256((const unsigned char *)(data.len ? data.s : ""), data.len, digest);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
}
