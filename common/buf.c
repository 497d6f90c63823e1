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

void buf_free(struct buf *b)
{
    free(b->data);
    *b = BUF_INIT(b->max);
}
