/* HTTP/1.1 replies. */
#include "tests/bench/http.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HEAD_MAX 8192

/* The value of a header: after its colon and space, up to the line's end. NULL: not there. */
static const char *header(const char *head, const char *name)
{
    size_t len = strlen(name);

    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, len) == 0 && line[2 + len] == ':')
            return line + 2 + len + 1 + strspn(line + 2 + len + 1, " ");
    return NULL;
}

static enum http_state chunked(const char *body, size_t len, struct http_reply *ret)
{
    static const char end[] = "0\r\n\r\n";
    const size_t end_len = sizeof end - 1;

    /* Text replies hold no CR LF of their own, so the last chunk is found by its text. */
    if (len < end_len || memcmp(body + len - end_len, end, end_len) != 0 ||
        (len > end_len && body[len - end_len - 1] != '\n'))
        return HTTP_MORE;
    ret->body_len = len;
    return HTTP_DONE;
}

static enum http_state body(const char *head, size_t have, struct http_reply *ret)
{
    const char *value = header(head, "Content-Length");

    if (ret->status == 204 || ret->status == 304)
        return HTTP_DONE;
    if (value) {
        ret->body_len = strtoul(value, NULL, 10);
        return have < ret->body_len ? HTTP_MORE : HTTP_DONE;
    }
    value = header(head, "Transfer-Encoding");
    if (value && strncasecmp(value, "chunked", 7) == 0)
        return chunked(ret->body, have, ret);
    return HTTP_BAD;
}

enum http_state http_parse(const char *buffer, size_t len, struct http_reply *ret)
{
    static const char version[] = "HTTP/1.1 ";
    const size_t version_len = sizeof version - 1;
    char head[HEAD_MAX];
    struct http_reply r = {0};

    const char *end = memmem(buffer, len, "\r\n\r\n", 4);
    if (!end)
        return len < HEAD_MAX ? HTTP_MORE : HTTP_BAD;
    size_t head_len = (size_t)(end - buffer) + 2;
    if (head_len >= sizeof head || strncmp(buffer, version, version_len) != 0)
        return HTTP_BAD;
    memcpy(head, buffer, head_len);
    head[head_len] = '\0';
    r.status = (int)strtol(head + version_len, NULL, 10);
    r.body = end + 4;
    enum http_state state = body(head, len - head_len - 2, &r);
    if (state != HTTP_DONE)
        return state;
    const char *connection = header(head, "Connection");
    r.close = connection && strncasecmp(connection, "close", 5) == 0;
    r.len = head_len + 2 + r.body_len;
    *ret = r;
    return HTTP_DONE;
}
