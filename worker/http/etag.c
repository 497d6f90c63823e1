#include "worker/http/etag.h"

#include "common/mem.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGEST_USED 16 /* bytes of the digest */

struct etag {
    EVP_MD_CTX *ctx;
};

struct etag *etag_new(void)
{
    struct etag *t = mem_alloc(sizeof *t);

    t->ctx = EVP_MD_CTX_new();
    mem_check(t->ctx && EVP_DigestInit_ex(t->ctx, EVP_sha256(), NULL) == 1);
    return t;
}

void etag_add(struct etag *t, const void *data, size_t len)
{
    mem_check(EVP_DigestUpdate(t->ctx, data, len) == 1);
}

void etag_add_int(struct etag *t, int64_t n)
{
    etag_add(t, &n, sizeof n);
}

static int add_part(const char *data, size_t len, void *arg)
{
    etag_add(arg, data, len);
    return 0;
}

void etag_add_json(struct etag *t, const json_t *value)
{
    json_dump_callback(value, add_part, t, JSON_COMPACT | JSON_ENCODE_ANY);
}

void etag_end(struct etag *t, char out[ETAG_SIZE])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    char digits[2 * DIGEST_USED + 1];

    mem_check(EVP_DigestFinal_ex(t->ctx, digest, NULL) == 1);
    hex_print(digest, DIGEST_USED, digits);
    snprintf(out, ETAG_SIZE, "W/\"%s\"", digits);
    EVP_MD_CTX_free(t->ctx);
    free(t);
}

/* A tag without the mark of a weak one: both kinds are compared alike (RFC 9110 13.1.2). */
static struct text bare(struct text tag)
{
    if (tag.len > 2 && tag.s[0] == 'W' && tag.s[1] == '/') {
        tag.s += 2;
        tag.len -= 2;
    }
    return tag;
}

bool etag_matches(struct text header, const char *tag)
{
    struct text wanted = bare((struct text){tag, strlen(tag)});
    const char *at = header.s, *end = at ? at + header.len : at;

    while (at < end) {
        at += strspn(at, " \t,");
        const char *start = at;
        if (at < end && *at == '*')
            return true;
        if (end - at > 2 && at[0] == 'W' && at[1] == '/')
            at += 2;
        if (at >= end || *at != '"')
            return false; /* no tag: what follows cannot be told apart */
        const char *quote = memchr(at + 1, '"', (size_t)(end - at - 1));
        if (!quote)
            return false;
        at = quote + 1;
        struct text one = bare((struct text){start, (size_t)(at - start)});
        if (one.len == wanted.len && memcmp(one.s, wanted.s, one.len) == 0)
            return true;
    }
    return false;
}

bool reply_unchanged(struct call *c, const char *tag)
{
    bool unchanged = etag_matches(c->request->headers[HDR_IF_NONE_MATCH], tag);

    if (unchanged)
        reply_bytes(c, 304, "application/json", "", 0);
    reply_header(c, "ETag", tag);
    reply_header(c, "Vary", "Accept-Encoding"); /* see compress.h */
    return unchanged;
}

void reply_tag(struct call *c)
{
    struct etag *t;
    char tag[ETAG_SIZE];

    if (c->reply.status != 200)
        return;
    t = etag_new();
    etag_add(t, c->reply.body.s, c->reply.body.len);
    etag_end(t, tag);
    reply_unchanged(c, tag);
}
