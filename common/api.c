#include "common/api.h"

#include "common/bus_ops.h"
#include "common/op.h"

#include <string.h>

/* Fields that a row leaves out are 0; the accessors of path and too_large return a text for it. */
struct route {
    unsigned op, wire;
    const char *name;
    enum http_method method;
    const char *path;
    enum service service;
    unsigned roles;
    size_t body_limit;
    const char *too_large;
    unsigned flags;
    const char *summary;
    bool web;
    const char *page;
};

static bool web_is_hidden;

static const struct route routes[OP_COUNT_] = {
#define ROUTE(op_, service_, handler, ...)                                                         \
    [op_] = {.op = op_, .name = #op_, .service = service_, __VA_ARGS__},
#include "common/api.def"
};

const char *const role_names[] = {"admin", "manager", "contributor", "agent", NULL};

const struct route *route_of(unsigned op)
{
    return op < OP_COUNT_ ? &routes[op] : NULL;
}

const struct route *route_of_wire(unsigned wire)
{
    static unsigned char by_wire[BUS_OPS_MAX + 1]; /* operation + 1 */

    if (!by_wire[routes[OP_COUNT_ - 1].wire])
        for (unsigned op = 0; op < OP_COUNT_; op++)
            if (routes[op].wire)
                by_wire[routes[op].wire] = (unsigned char)(op + 1);
    return wire && wire <= BUS_OPS_MAX && by_wire[wire] ? &routes[by_wire[wire] - 1] : NULL;
}

unsigned route_op(const struct route *r)
{
    return r->op;
}

unsigned route_wire(const struct route *r)
{
    return r->wire;
}

const char *route_name(const struct route *r)
{
    return r->name;
}

const char *route_path(const struct route *r)
{
    return r->path ? r->path : "";
}

enum http_method route_method(const struct route *r)
{
    return r->method;
}

enum service route_service(const struct route *r)
{
    return r->service;
}

unsigned route_roles(const struct route *r)
{
    return r->roles;
}

size_t route_body_limit(const struct route *r)
{
    return r->body_limit;
}

const char *route_too_large(const struct route *r)
{
    return r->too_large ? r->too_large : TOO_LARGE_DEFAULT;
}

unsigned route_flags(const struct route *r)
{
    return r->flags;
}

const char *route_summary(const struct route *r)
{
    return r->summary;
}

bool route_is_web(const struct route *r)
{
    return r->web;
}

const char *route_page(const struct route *r)
{
    return r->page;
}

void routes_hide_web(void)
{
    web_is_hidden = true;
}

bool route_web_path(struct text path)
{
    return !web_is_hidden &&
           !(path.len >= 3 && memcmp(path.s, "/v1", 3) == 0 && (path.len == 3 || path.s[3] == '/'));
}

/* Length of the segment at s, up to the next slash or end. */
static size_t segment_len(const char *s, const char *end)
{
    const char *slash = memchr(s, '/', (size_t)(end - s));
    return (size_t)((slash ? slash : end) - s);
}

/* With `tail`, the last placeholder matches what is left of the path, unless it begins with a
 * slash. */
static bool pattern_match(const char *pattern, bool tail, const char *path, size_t len,
                          struct route_param *params, size_t *params_len)
{
    const char *pend = pattern + strlen(pattern), *end = path + len;
    size_t n = 0;

    /* Both begin with a slash; ignore one trailing slash on either side. */
    if (pend[-1] == '/' && pend - pattern > 1)
        pend--;
    if (len > 1 && end[-1] == '/' && !tail)
        end--;
    while (pattern < pend && path < end && *path == '/') {
        size_t plen = segment_len(++pattern, pend), slen = segment_len(++path, end);
        if (*pattern == '<') {
            if (slen == 0 || n == ROUTE_PARAMS_MAX)
                return false;
            if (tail && pattern + plen == pend)
                slen = (size_t)(end - path);
            params[n++] = (struct route_param){path, slen};
        } else if (plen != slen || memcmp(pattern, path, plen) != 0) {
            return false;
        }
        pattern += plen;
        path += slen;
    }
    if (pattern != pend || path != end)
        return false;
    *params_len = n;
    return true;
}

bool route_match(const char *path, size_t len, struct route_match *ret)
{
    struct route_match found = {0};
    bool any = false;

    if (len == 0 || path[0] != '/')
        return false;
    for (size_t i = 0; i < OP_COUNT_; i++) {
        const struct route *r = &routes[i];
        struct route_param params[ROUTE_PARAMS_MAX];
        bool tail = r->flags & ROUTE_TAIL;
        size_t n;
        if (!r->path || (r->web && web_is_hidden) ||
            !pattern_match(r->path, tail, path, len, params, &n))
            continue;
        found.tail = tail;
        found.by_method[r->method] = r;
        memcpy(found.params, params, n * sizeof *params);
        found.params_len = n;
        any = true;
    }
    if (any)
        *ret = found;
    return any;
}

const struct route *route_named(const char *name, size_t len)
{
    for (size_t i = 0; i < OP_COUNT_; i++)
        if (strlen(routes[i].name) == len && memcmp(routes[i].name, name, len) == 0)
            return &routes[i];
    return NULL;
}

const char *http_method_name(enum http_method m)
{
    static const char *const names[HTTP_METHOD_COUNT_] = {"GET", "POST", "PUT", "DELETE"};
    return (unsigned)m < HTTP_METHOD_COUNT_ ? names[m] : "?";
}

bool route_writes(const struct route *r)
{
    return r->method != HTTP_GET || (r->flags & ROUTE_TAKES);
}
