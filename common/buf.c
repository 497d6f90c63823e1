#include "common/buf.h"

#include "common/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum err reserve(struct buf *b, size_t len)
{
    if (len > b->max || b->len > b->max - len)
        return ERR_TOO_LARGE;
    if (b->len + len + 1 > b->size) {
        size_t size = b->size ? b->size * 2 : 256;
        while (size < b->len + len + 1)
            size *= 2;
        b->data = mem_realloc(b->data, size);
        b->size = size;
    }
    return ERR_OK;
}

enum err buf_add(struct buf *b, const void *data, size_t len)
{
    enum err e = reserve(b, len);
    if (e)
        return e;
    if (len)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = '\0';
    return ERR_OK;
}

enum err buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap, again;
    enum err e = ERR_INTERNAL;

    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    if (n >= 0 && !(e = reserve(b, (size_t)n))) {
        vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
    va_end(ap);
    return e;
}

enum err buf_add_percent(struct buf *b, struct text t)
{
    enum err e = ERR_OK;

    for (size_t i = 0; !e && i < t.len; i++) {
        unsigned char c = (unsigned char)t.s[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '.' || c == '_' || c == '~';
        e = plain ? buf_add(b, t.s + i, 1) : buf_printf(b, "%%%02X", c);
    }
    return e;
}

void buf_free(struct buf *b)
{
    free(b->data);
    *b = BUF_INIT(b->max);
}
