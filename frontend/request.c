#include "frontend/request.h"

#include "common/mem.h"
#include "common/metrics.h"
#include "common/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    enum evhttp_cmd_type type;
    enum http_method method;
} methods[] = {
    {EVHTTP_REQ_GET, HTTP_GET}, {EVHTTP_REQ_HEAD, HTTP_GET},      {EVHTTP_REQ_POST, HTTP_POST},
    {EVHTTP_REQ_PUT, HTTP_PUT}, {EVHTTP_REQ_DELETE, HTTP_DELETE},
};

/* ---- decoding ---- */

/* Percent-decodes in place into `out`, which may be `s`; returns the length. */
static size_t percent_decode(const char *s, size_t len, bool plus_is_space, char *out)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        if (s[i] == '%' && i + 2 < len && hex_value(s[i + 1]) >= 0 && hex_value(s[i + 2]) >= 0) {
            out[n++] = (char)(hex_value(s[i + 1]) * 16 + hex_value(s[i + 2]));
            i += 2;
        } else {
            out[n++] = s[i] == '+' && plus_is_space ? ' ' : s[i];
        }
    }
    return n;
}

/* Space for decoded texts: an invalid byte becomes U+FFFD, three bytes. */
struct arena {
    char *at;
};

/* Decodes a part of the target; invalid UTF-8 becomes U+FFFD. */
static struct text decode(struct arena *a, const char *s, size_t len, bool plus_is_space)
{
    char raw[HEAD_LINE_MAX + 1];
    size_t n = percent_decode(s, len < sizeof raw ? len : sizeof raw, plus_is_space, raw);
    struct text t = {a->at, 0};

    for (size_t i = 0; i < n;) {
        size_t sequence = utf8_sequence(raw + i, n - i);
        memcpy(a->at, sequence ? raw + i : "\xef\xbf\xbd", sequence ? sequence : 3);
        a->at += sequence ? sequence : 3;
        i += sequence ? sequence : 1;
    }
    t.len = (size_t)(a->at - t.s);
    return t;
}

/* ---- parts ---- */

/* Parses "a=1&b"; false: too many. */
static bool parse_query(struct arena *a, const char *s, size_t len, struct request *r)
{
    const char *end = s + len;

    while (s < end) {
        const char *amp = memchr(s, '&', (size_t)(end - s));
        const char *stop = amp ? amp : end;
        const char *equals = memchr(s, '=', (size_t)(stop - s));
        if (stop > s) {
            if (r->query_len == QUERY_MAX)
                return false;
            const char *name_end = equals ? equals : stop;
            r->query[r->query_len].name = decode(a, s, (size_t)(name_end - s), true);
            r->query[r->query_len].value =
                equals ? decode(a, equals + 1, (size_t)(stop - equals - 1), true)
                       : (struct text){"", 0};
            r->query_len++;
        }
        s = stop + 1;
    }
    return true;
}

static void parse_headers(struct evhttp_request *req, struct request *r)
{
    struct evkeyvalq *in = evhttp_request_get_input_headers(req);

    for (int i = 0; i < HDR_COUNT_; i++) {
        const char *value = evhttp_find_header(in, header_name((enum header)i));
        r->headers[i] = (struct text){value, value ? strlen(value) : 0};
    }
}

static void list_methods(const struct route_match *m, char *out, size_t size)
{
    size_t n = (size_t)snprintf(out, size, "OPTIONS");

    for (int i = 0; i < HTTP_METHOD_COUNT_ && n < size; i++)
        if (m->by_method[i])
            n += (size_t)snprintf(out + n, size - n, "%s, %s", i == HTTP_GET ? ", HEAD" : "",
                                  http_method_name((enum http_method)i));
}

/* The target with repeated slashes of its path merged. */
static char *single_slashes(struct text path, const char *rest)
{
    char *location = mem_alloc(path.len + strlen(rest) + 1), *to = location;

    for (size_t i = 0; i < path.len; i++)
        if (path.s[i] != '/' || i == 0 || path.s[i - 1] != '/')
            *to++ = path.s[i];
    memcpy(to, rest, strlen(rest));
    return location;
}

unsigned request_method(struct evhttp_request *req)
{
    enum evhttp_cmd_type type = evhttp_request_get_command(req);

    if (type == EVHTTP_REQ_HEAD)
        return METRIC_HEAD;
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (methods[i].type == type)
            return methods[i].method;
    return type == EVHTTP_REQ_OPTIONS ? METRIC_OPTIONS : METRIC_OTHER_METHOD;
}

/* The route of the request's method; NULL: the path has none. */
static const struct route *route_chosen(struct evhttp_request *req, const struct route_match *m)
{
    enum evhttp_cmd_type type = evhttp_request_get_command(req);

    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (methods[i].type == type)
            return m->by_method[methods[i].method];
    return NULL;
}

void request_parse(struct evhttp_request *req, struct text target, bool known, struct parsed *ret)
{
    struct text path = head_path(target);
    const char *after = path.s + path.len;
    struct route_match m;
    struct request *r = &ret->request;

    memset(ret, 0, offsetof(struct parsed, request.query));
    r->query_len = 0;
    r->body = (struct text){NULL, 0};
    ret->location = ret->memory = NULL;
    *ret->allow = '\0';
    ret->web = route_web_path(path);
    ret->page = false;
    r->head = evhttp_request_get_command(req) == EVHTTP_REQ_HEAD;
    parse_headers(req, r);
    bool found = route_match(path.s, path.len, &m);
    if (memmem(path.s, path.len, "//", 2) && !(found && m.tail)) {
        ret->kind = REQUEST_REDIRECT;
        ret->location = single_slashes(path, after);
        return;
    }
    if (!found) {
        ret->kind = REQUEST_UNKNOWN;
        return;
    }
    list_methods(&m, ret->allow, sizeof ret->allow);
    for (int i = 0; i < HTTP_METHOD_COUNT_; i++)
        ret->page = ret->page || (m.by_method[i] && route_is_web(m.by_method[i]));
    ret->route = known ? route_chosen(req, &m) : NULL;
    ret->kind = ret->route ? REQUEST_ROUTED
                : known && evhttp_request_get_command(req) == EVHTTP_REQ_OPTIONS
                    ? REQUEST_OPTIONS
                    : REQUEST_BAD_METHOD;
    if (!ret->route)
        return;
    struct arena a = {ret->memory = mem_alloc(3 * target.len + 1)};
    r->op = route_op(ret->route);
    r->params_len = m.params_len;
    for (size_t i = 0; i < m.params_len; i++)
        r->params[i] = decode(&a, m.params[i].start, m.params[i].len, false);
    if (*after == '?') {
        const char *hash = strchr(after, '#');
        size_t len = hash ? (size_t)(hash - after) : strlen(after);
        if (!parse_query(&a, after + 1, len - 1, r))
            ret->kind = REQUEST_TOO_MANY;
    }
}

void request_parsed_free(struct parsed *p)
{
    free(p->memory);
    free(p->location);
}
