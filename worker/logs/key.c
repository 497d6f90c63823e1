#include "worker/logs/key.h"

#include "common/mem.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

static void add(EVP_MD_CTX *ctx, const void *data, size_t len)
{
    mem_check(EVP_DigestUpdate(ctx, data, len) == 1);
}

void log_key(struct log_fragment *f)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char digest[EVP_MAX_MD_SIZE];
    int64_t numbers[] = {(int64_t)f->job_id.len, f->type, f->phase, f->number, f->at_ms};

    mem_check(ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        unsigned char bytes[8]; /* the same on every machine that shares the store */
        for (int k = 0; k < 8; k++)
            bytes[k] = (unsigned char)((uint64_t)numbers[i] >> (8 * k));
        add(ctx, bytes, sizeof bytes);
    }
    add(ctx, f->job_id.s, f->job_id.len);
    add(ctx, f->text.s, f->text.len);
    mem_check(EVP_DigestFinal_ex(ctx, digest, NULL) == 1);
    EVP_MD_CTX_free(ctx);
    memcpy(f->key, digest, sizeof f->key);
}
