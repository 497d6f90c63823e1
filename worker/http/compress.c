#include "worker/http/compress.h"

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

/* ---- what a client takes ---- */

/* Cuts the text before `mark` off the rest, and the mark with it; trimmed. */
static struct text until(struct text *rest, char mark)
{
    const char *at = rest->len ? memchr(rest->s, mark, rest->len) : NULL;
    struct text t = {rest->s, at ? (size_t)(at - rest->s) : rest->len};
    size_t used = t.len + (at ? 1 : 0);

    rest->s += used;
    rest->len -= used;
    return text_trim(t, " \t");
}

static bool is_word(struct text t, const char *s)
{
    return t.len == strlen(s) && strncasecmp(t.s, s, t.len) == 0;
}

/* A quality in thousandths: 0 to 1 with up to three digits (RFC 9110 12.4.2); what is none: 0. */
static int quality(struct text t)
{
    int q = 0, unit = 1000;

    for (size_t i = 0; i < t.len; i++) {
        if (i == 1 && t.s[i] == '.')
            continue;
        if (t.s[i] < '0' || t.s[i] > '9' || t.len > 5)
            return 0;
        q += (t.s[i] - '0') * unit;
        unit /= 10;
    }
    return t.len && q <= 1000 ? q : 0;
}

/* The quality among the parameters of one coding. */
static int quality_of(struct text parameters)
{
    while (parameters.len) {
        struct text value = until(&parameters, ';'), name = until(&value, '=');
        if (is_word(name, "q"))
            return quality(text_trim(value, " \t"));
    }
    return 1000;
}

bool accepts_gzip(struct text header)
{
    int gzip = -1, any = -1, identity = -1;
    struct text rest = {header.s ? header.s : "", header.s ? header.len : 0};

    while (rest.len) {
        struct text coding = until(&rest, ','), name = until(&coding, ';');
        int q = quality_of(coding);
        if (is_word(name, "gzip") || is_word(name, "x-gzip"))
            gzip = q > gzip ? q : gzip;
        else if (is_word(name, "*"))
            any = q;
        else if (is_word(name, "identity"))
            identity = q;
    }
    if (gzip < 0)
        gzip = any;
    return gzip > 0 && gzip >= identity;
}

/* ---- compressing ---- */

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

static bool is_text(const struct reply *r)
{
    for (size_t i = 0; i < r->headers_len; i++)
        if (strcasecmp(r->headers[i].name, "Content-Type") == 0)
            return strncmp(r->headers[i].value, "application/json", 16) == 0 ||
                   strncmp(r->headers[i].value, "text/", 5) == 0;
    return false;
}

void compress_reply(struct call *c)
{
    struct text body = c->reply.body;
    size_t len;

    if (route_method(c->route) != HTTP_GET || !*route_path(c->route) ||
        (route_flags(c->route) & ROUTE_DOWNLOAD) || c->reply.status != 200 ||
        body.len < COMPRESS_MIN || body.len > UINT32_MAX || !is_text(&c->reply))
        return;
    reply_header(c, "Vary", "Accept-Encoding");
    if (!accepts_gzip(c->request->headers[HDR_ACCEPT_ENCODING]))
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
