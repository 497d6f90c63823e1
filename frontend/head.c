#include "frontend/head.h"

#include "frontend/host.h"
#include "frontend/line.h"

#include <string.h>
#include <strings.h>

#define BLANKS " \t"

static bool is_word(struct text s, const char *text)
{
    return s.len == strlen(text) && strncasecmp(s.s, text, s.len) == 0;
}

/* Takes the next line off *rest; returns it without its CRLF. */
static struct text next_line(struct text *rest)
{
    size_t end = 0;
    struct text line = *rest;

    if (line_scan(rest->s, rest->len, &end) == LINE_DONE)
        line.len = end - 2;
    else
        end = rest->len; /* cannot be: the last line has an end */
    *rest = (struct text){rest->s + end, rest->len - end};
    return line;
}

/* RFC 9110 5.6.2 */
static bool is_token(struct text s)
{
    static const char *const marks = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < s.len; i++) {
        char c = s.s[i], lower = (char)(c | 0x20);
        if (!((lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || (c && strchr(marks, c))))
            return false;
    }
    return s.len > 0;
}

/* Methods that the HTTP library knows; requests with others are answered before it reads them. */
static const char *known_method(struct text m)
{
    static const char *const known[] = {"GET",    "POST",    "HEAD",  "PUT",
                                        "DELETE", "OPTIONS", "TRACE", "PATCH"};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (m.len == strlen(known[i]) && memcmp(m.s, known[i], m.len) == 0)
            return known[i];
    return NULL;
}

const char *head_method(const struct head *h)
{
    const char *known = known_method(h->method);

    return known ? known : "GET";
}

static bool target_ok(struct text t)
{
    for (size_t i = 0; i < t.len; i++)
        if ((unsigned char)t.s[i] <= 0x20 || t.s[i] == 0x7f)
            return false;
    return t.len > 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* HTTP/DIGIT.DIGIT; returns the refusing status, or 0. A higher minor version of 1 is served as 1.1
 * (RFC 9110 2.5). */
static int parse_version(struct text v, struct head *h)
{
    if (v.len != 8 || memcmp(v.s, "HTTP/", 5) != 0 || !is_digit(v.s[5]) || v.s[6] != '.' ||
        !is_digit(v.s[7]))
        return 400;
    h->http_1_0 = v.s[7] == '0';
    return v.s[5] == '1' ? 0 : 505;
}

/* METHOD SP TARGET SP VERSION; returns the refusing status, or 0. */
static int parse_line(struct text line, struct head *h)
{
    const char *first = memchr(line.s, ' ', line.len);
    const char *last = memrchr(line.s, ' ', line.len);

    if (line.len > HEAD_LINE_MAX || !first || first == last)
        return 400;
    struct text method = {line.s, (size_t)(first - line.s)};
    struct text target = {first + 1, (size_t)(last - first - 1)};
    if (!is_token(method) || !target_ok(target))
        return 400;
    h->method = method;
    h->target = target;
    int status = parse_version((struct text){last + 1, (size_t)(line.s + line.len - last - 1)}, h);
    return status ? status : known_method(method) ? 0 : 405;
}

/* Digits only (RFC 9110 8.6). Equal repeats are allowed, differing ones are a smuggling attempt. */
static bool parse_length(struct text v, struct head *h)
{
    uint64_t n = 0;

    if (!v.len || v.len > 18)
        return false;
    for (size_t i = 0; i < v.len; i++) {
        if (!is_digit(v.s[i]))
            return false;
        n = n * 10 + (uint64_t)(v.s[i] - '0');
    }
    if (h->has_length && h->content_length != n)
        return false;
    h->has_length = true;
    h->content_length = n;
    return true;
}

/* Only "chunked" alone in one line: parsers disagree about where any other body ends. */
static bool parse_coding(struct text v, struct head *h)
{
    bool ok = is_word(v, "chunked") && !h->chunked;

    h->chunked = true;
    return ok;
}

static bool parse_expect(struct text v, struct head *h)
{
    h->expects_continue = is_word(v, "100-continue") && !h->http_1_0;
    return true;
}

/* A list of connection options. */
static bool parse_connection(struct text v, struct head *h)
{
    bool close = false, keep = false;

    while (v.len) {
        const char *comma = memchr(v.s, ',', v.len);
        size_t n = comma ? (size_t)(comma - v.s) : v.len, skip = comma ? n + 1 : n;
        struct text option = text_trim((struct text){v.s, n}, BLANKS);
        close |= is_word(option, "close");
        keep |= is_word(option, "keep-alive");
        v = (struct text){v.s + skip, v.len - skip};
    }
    h->said_close |= close;
    h->said_keep |= keep;
    return true;
}

static bool parse_host(struct text v, struct head *h)
{
    return ++h->hosts == 1 && host_ok(v.s, v.len);
}

static bool drop(struct text v, struct head *h)
{
    (void)v;
    (void)h;
    return true;
}

/* Handles headers about framing and connection, which the HTTP library never gets (except Host).
 * False: 400. */
static const struct special {
    struct text name;
    bool (*parse)(struct text value, struct head *h); /* false: 400 */
    bool passed;
} specials[] = {
    {{"Host", sizeof "Host" - 1}, parse_host, true},
    {{"Connection", sizeof "Connection" - 1}, parse_connection, false},
    {{"Content-Length", sizeof "Content-Length" - 1}, parse_length, false},
    {{"Transfer-Encoding", sizeof "Transfer-Encoding" - 1}, parse_coding, false},
    {{"Expect", sizeof "Expect" - 1}, parse_expect, false},
    {{"Keep-Alive", sizeof "Keep-Alive" - 1}, drop, false},
    {{"Proxy-Connection", sizeof "Proxy-Connection" - 1}, drop, false},
    {{"TE", sizeof "TE" - 1}, drop, false},
    {{"Trailer", sizeof "Trailer" - 1}, drop, false},
    {{"Upgrade", sizeof "Upgrade" - 1}, drop, false},
};

bool head_field_parse(struct text line, struct head_field *ret)
{
    const char *colon = memchr(line.s, ':', line.len);

    if (!colon)
        return false;
    ret->name = (struct text){line.s, (size_t)(colon - line.s)};
    ret->value = text_trim((struct text){colon + 1, line.len - ret->name.len - 1}, BLANKS);
    return is_token(ret->name);
}

/* Reads one header line; false: 400. Refuses obsolete line folding (RFC 9112 5.2): it begins with a
 * blank, which no token does. */
static bool parse_field(struct text line, struct head *h)
{
    struct head_field f;

    if (!head_field_parse(line, &f))
        return false;
    for (size_t i = 0; i < sizeof specials / sizeof *specials; i++) {
        if (f.name.len != specials[i].name.len ||
            strncasecmp(f.name.s, specials[i].name.s, f.name.len) != 0)
            continue;
        if (!specials[i].parse(f.value, h))
            return false;
        if (!specials[i].passed)
            return true;
        break;
    }
    if (h->fields_len < HEAD_FIELDS_MAX)
        h->fields[h->fields_len++] = f;
    return true;
}

/* Reads all header lines; returns the refusing status, or 0. */
static int parse_fields(struct text rest, struct head *h)
{
    struct text line;
    size_t lines = 0;
    int status = 0;

    while (rest.len && (line = next_line(&rest)).len) {
        if (line.len > HEAD_FIELD_MAX || ++lines > HEAD_FIELDS_MAX)
            status = 431;
        if (!parse_field(line, h))
            return 400;
    }
    /* HTTP/1.0 has no chunks; chunked with a length is request smuggling; 1.1 requires Host. */
    if (h->chunked && (h->has_length || h->http_1_0))
        return 400;
    return !h->http_1_0 && !h->hosts ? 400 : status;
}

void head_parse(const char *data, size_t len, struct head *ret)
{
    struct text rest = {data, len};

    memset(ret, 0, offsetof(struct head, fields));
    ret->method = ret->target = (struct text){"", 0};
    int line = parse_line(next_line(&rest), ret);
    int fields = line == 400 || line == 505 ? 0 : parse_fields(rest, ret);
    ret->refuse = line == 400 || line == 505 ? line : fields ? fields : line;
    /* "close" wins over "keep-alive" (RFC 9112 9.3). */
    ret->close = ret->refuse == 400 || ret->refuse == 505 || ret->said_close ||
                 (ret->http_1_0 && !ret->said_keep);
}

struct text head_path(struct text target)
{
    struct text path = target;
    const char *scheme = memmem(target.s, target.len, "://", 3);
    const char *query = memchr(target.s, '?', target.len);

    if (target.len && *target.s != '/' && scheme && (!query || scheme < query)) {
        size_t skip = (size_t)(scheme + 3 - target.s);
        path = (struct text){target.s + skip, target.len - skip};
        const char *slash = memchr(path.s, '/', path.len);
        const char *mark = memchr(path.s, '?', path.len);
        if (!slash || (mark && mark < slash))
            return (struct text){"/", 1};
        path = (struct text){slash, (size_t)(path.s + path.len - slash)};
    }
    query = memchr(path.s, '?', path.len);
    if (query)
        path.len = (size_t)(query - path.s);
    const char *fragment = memchr(path.s, '#', path.len);
    if (fragment)
        path.len = (size_t)(fragment - path.s);
    return path;
}
