#include "frontend/head.h"

#include <string.h>
#include <strings.h>

static bool span_is(struct span s, const char *text)
{
    return s.len == strlen(text) && strncasecmp(s.s, text, s.len) == 0;
}

/* Takes the next line off *rest, without its end. */
static struct span next_line(struct span *rest)
{
    const char *lf = memchr(rest->s, '\n', rest->len);
    size_t n = lf ? (size_t)(lf - rest->s) : rest->len;
    struct span line = {rest->s, n};

    if (line.len && line.s[line.len - 1] == '\r')
        line.len--;
    n += lf ? 1 : 0;
    *rest = (struct span){rest->s + n, rest->len - n};
    return line;
}

static struct span trim(struct span s)
{
    while (s.len && (*s.s == ' ' || *s.s == '\t'))
        s.s++, s.len--;
    while (s.len && (s.s[s.len - 1] == ' ' || s.s[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* The methods that the HTTP library knows; others are answered before it sees them. */
static bool method_known(struct span m)
{
    static const char *const known[] = {"GET",    "POST",    "HEAD",  "PUT",
                                        "DELETE", "OPTIONS", "TRACE", "PATCH"};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (m.len == strlen(known[i]) && memcmp(m.s, known[i], m.len) == 0)
            return true;
    return false;
}

static bool target_ok(struct span t)
{
    for (size_t i = 0; i < t.len; i++)
        if ((unsigned char)t.s[i] <= 0x20 || t.s[i] == 0x7f)
            return false;
    return t.len > 0;
}

/* METHOD SP TARGET SP HTTP/1.x; false: malformed. */
static bool parse_line(struct span line, struct head *h)
{
    const char *first = memchr(line.s, ' ', line.len);
    const char *last = memrchr(line.s, ' ', line.len);

    if (!first || first == last || first == line.s)
        return false;
    h->method = (struct span){line.s, (size_t)(first - line.s)};
    h->target = (struct span){first + 1, (size_t)(last - first - 1)};
    struct span version = {last + 1, (size_t)(line.s + line.len - last - 1)};
    if (!target_ok(h->target)) {
        h->target = (struct span){"", 0};
        return false;
    }
    h->http_1_0 = version.len == 8 && memcmp(version.s, "HTTP/1.0", 8) == 0;
    if (!h->http_1_0 && !(version.len == 8 && memcmp(version.s, "HTTP/1.1", 8) == 0))
        return false;
    h->close = h->http_1_0;
    h->bodyless = span_is(h->method, "HEAD") || span_is(h->method, "TRACE");
    if (!method_known(h->method))
        h->refuse = 405;
    return true;
}

/* Digits only (RFC 9110 8.6); equal repeats are allowed, others are a smuggling attempt. */
static bool parse_length(struct span v, struct head *h)
{
    uint64_t n = 0;

    if (!v.len || v.len > 18)
        return false;
    for (size_t i = 0; i < v.len; i++) {
        if (v.s[i] < '0' || v.s[i] > '9')
            return false;
        n = n * 10 + (uint64_t)(v.s[i] - '0');
    }
    if (h->has_length && h->content_length != n)
        return false;
    h->has_length = true;
    h->content_length = n;
    return true;
}

static bool name_ok(struct span name)
{
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.s[i] <= 0x20 || name.s[i] == 0x7f)
            return false;
    return name.len > 0;
}

/* One header line; false: malformed in a way that matters for framing. */
static bool parse_field(struct span line, struct head *h)
{
    const char *colon = memchr(line.s, ':', line.len);

    if (!colon)
        return false;
    struct span name = {line.s, (size_t)(colon - line.s)};
    struct span value = trim((struct span){colon + 1, line.len - name.len - 1});
    if (!name_ok(name) || memchr(value.s, '\0', value.len))
        return false;
    if (span_is(name, "Content-Length"))
        return parse_length(value, h);
    if (span_is(name, "Transfer-Encoding")) {
        if (!span_is(value, "chunked") || h->chunked)
            return false;
        h->chunked = true;
    } else if (span_is(name, "Expect")) {
        h->expects_continue = span_is(value, "100-continue") && !h->http_1_0;
    } else if (span_is(name, "Connection")) {
        if (span_is(value, "close"))
            h->close = true;
        else if (span_is(value, "keep-alive"))
            h->close = false;
    }
    return true;
}

void head_parse(const char *data, size_t len, struct head *ret)
{
    struct span rest = {data, len}, line;
    size_t fields = 0;

    *ret = (struct head){
        .method = {"", 0},
          .target = {"", 0}
    };
    line = next_line(&rest);
    if (line.len > HEAD_LINE_MAX || !parse_line(line, ret))
        ret->refuse = 400;
    while (rest.len && (line = next_line(&rest)).len) {
        if ((line.len > HEAD_FIELD_MAX || ++fields > HEAD_FIELDS_MAX) && ret->refuse != 400)
            ret->refuse = 431;
        /* Line folding is obsolete and refused (RFC 9112 5.2). */
        if (*line.s == ' ' || *line.s == '\t' || !parse_field(line, ret)) {
            ret->refuse = 400;
            ret->close = true;
            return;
        }
    }
    if (ret->chunked && (ret->has_length || ret->http_1_0)) {
        ret->refuse = 400;
        ret->close = true;
    }
}

struct span head_path(struct span target)
{
    struct span path = target;
    const char *scheme = memmem(target.s, target.len, "://", 3);
    const char *query = memchr(target.s, '?', target.len);

    if (target.len && *target.s != '/' && scheme && (!query || scheme < query)) {
        size_t skip = (size_t)(scheme + 3 - target.s);
        path = (struct span){target.s + skip, target.len - skip};
        const char *slash = memchr(path.s, '/', path.len);
        const char *mark = memchr(path.s, '?', path.len);
        if (!slash || (mark && mark < slash))
            return (struct span){"/", 1};
        path = (struct span){slash, (size_t)(path.s + path.len - slash)};
    }
    query = memchr(path.s, '?', path.len);
    if (query)
        path.len = (size_t)(query - path.s);
    const char *fragment = memchr(path.s, '#', path.len);
    if (fragment)
        path.len = (size_t)(fragment - path.s);
    return path;
}
