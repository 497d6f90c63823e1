#include "worker/encoding/sha256.h"

#include <openssl/sha.h>

void sha256_text(struct text data, char out[SHA256_TEXT_SIZE])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];

    SHA256((const unsigned char *)(data.len ? data.s : ""), data.len, digest);
    hex_print(digest, sizeof digest, out);
}
