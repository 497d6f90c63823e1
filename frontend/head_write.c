#include "frontend/head.h"

#include "common/mem.h"

#include <string.h>

static char *put(char *to, const char *s, size_t len)
{
    memcpy(to, s, len);
    return to + len;
}

static char *put_text(char *to, const char *s)
{
    return put(to, s, strlen(s));
}

/* Only what the version does not imply (RFC 9112 9.3). */
static const char *connection_line(const struct head_canonical *h)
{
    if (h->http_1_0)
        return h->close ? "" : "Connection: keep-alive\r\n";
    return h->close ? "Connection: close\r\n" : "";
}

static size_t fields_size(const struct head_canonical *h)
{
    size_t n = 0;

    for (size_t i = 0; i < h->fields_len; i++)
        n += h->fields[i].name.len + 2 + h->fields[i].value.len + 2;
    return n;
}

void head_write(const struct head_canonical *h, struct evbuffer *out)
{
    const char *connection = connection_line(h), *version = h->http_1_0 ? "0\r\n" : "1\r\n";
    size_t size = strlen(h->method) + 1 + strlen(h->target) + strlen(" HTTP/1.1\r\n") +
                  strlen(connection) + fields_size(h) + 2;
    struct evbuffer_iovec space;

    mem_check(evbuffer_reserve_space(out, (ev_ssize_t)size, &space, 1) == 1);
    char *to = put_text(space.iov_base, h->method);
    to = put(to, " ", 1);
    to = put_text(to, h->target);
    to = put(to, " HTTP/1.", 8);
    to = put_text(to, version);
    to = put_text(to, connection);
    for (size_t i = 0; i < h->fields_len; i++) {
        to = put(to, h->fields[i].name.s, h->fields[i].name.len);
        to = put(to, ": ", 2);
        to = put(to, h->fields[i].value.s, h->fields[i].value.len);
        to = put(to, "\r\n", 2);
    }
    put(to, "\r\n", 2);
    space.iov_len = size;
    mem_check(evbuffer_commit_space(out, &space, 1) == 0);
}
