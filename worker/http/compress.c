#include "worker/http/compress.h"

#include "common/accept.h"
#include "common/file.h"
#include "common/log.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

/* The lowest level shrinks logs to a tenth, in a third of the default level's time. */
#define LEVEL     1
#define GZIP_BITS (15 + 16) /* the largest window; + 16: gzip's frame */
#define MEM_LEVEL 8

/* One per process, reset for each use: it takes 256 KiB. */
static z_stream *stream(void)
{
    static z_stream z;
    static bool ready;

    if (ready && deflateReset(&z) == Z_OK)
        return &z;
    ready = deflateInit2(&z, LEVEL, Z_DEFLATED, GZIP_BITS, MEM_LEVEL, Z_DEFAULT_STRATEGY) == Z_OK;
    return ready ? &z : NULL;
}

/* Compresses into at most in.len - 1 bytes; false: the result is no smaller, or zlib failed. */
static bool compress_into(struct text in, char *out, size_t *ret_len)
{
    z_stream *z = stream();

    if (!z) {
        log_error("answers are not compressed: zlib cannot be set up; is there memory left?");
        return false;
    }
    z->next_in = (Bytef *)(uintptr_t)in.s;
    z->avail_in = (uInt)in.len;
    z->next_out = (Bytef *)out;
    z->avail_out = (uInt)in.len - 1;
    if (deflate(z, Z_FINISH) != Z_STREAM_END)
        return false;
    *ret_len = z->total_out;
    return true;
}

static const char *header_of(const struct reply *r, const char *name)
{
    for (size_t i = 0; i < r->headers_len; i++)
        if (strcasecmp(r->headers[i].name, name) == 0)
            return r->headers[i].value;
    return NULL;
}

static bool is_text(const struct reply *r)
{
    const char *type = header_of(r, "Content-Type");

    return type && (strncmp(type, "application/json", 16) == 0 || strncmp(type, "text/", 5) == 0);
}

void compress_reply(struct call *c)
{
    struct text body = c->reply.body;
    size_t len;

    if (route_method(c->route) != HTTP_GET || !*route_path(c->route) ||
        (route_flags(c->route) & ROUTE_DOWNLOAD) || c->reply.status != 200 || c->secret ||
        body.len < COMPRESS_MIN || body.len > UINT32_MAX || !is_text(&c->reply) ||
        header_of(&c->reply, PART_NEXT))
        return;
    if (!header_of(&c->reply, "Vary"))
        reply_header(c, "Vary", "Accept-Encoding");
    if (!accept_gzip(c->request->headers[HDR_ACCEPT_ENCODING]))
        return;
    char *out = mem_alloc(body.len);
    if (!compress_into(body, out, &len)) {
        free(out);
        return;
    }
    free(c->body);
    c->body = mem_realloc(out, len);
    c->reply.body = (struct text){c->body, len};
    reply_header(c, "Content-Encoding", "gzip");
}
