#include "common/api.h"

#include <string.h>

const struct route routes[OP_COUNT_] = {
#define LOCAL(op, method, path, handler, summary)                                                  \
    [op] = {op, #op, method, path, SERVICE_LOCAL, ROLES_ANYONE, 0, "", 0, summary},
#define API(op, method, path, service, roles, limit, too_large, flags, handler, summary)           \
    [op] = {op, #op, method, path, service, roles, limit, too_large, flags, summary},
#include "common/api.def"
#undef LOCAL
#undef API
};

const char *const role_names[] = {"admin", "manager", "contributor", "agent", NULL};

/* Length of the segment at s, up to the next slash or end. */
static size_t segment_len(const char *s, const char *end)
{
    const char *slash = memchr(s, '/', (size_t)(end - s));
    return (size_t)((slash ? slash : end) - s);
}

static bool pattern_match(const char *pattern, const char *path, size_t len,
                          struct route_param *params, size_t *params_len)
{
    const char *pend = pattern + strlen(pattern), *end = path + len;
    size_t n = 0;

    /* Both begin with a slash; a single trailing one on either side does not count. */
    if (pend[-1] == '/' && pend - pattern > 1)
        pend--;
    if (len > 1 && end[-1] == '/')
        end--;
    while (pattern < pend && path < end && *path == '/') {
        size_t plen = segment_len(++pattern, pend), slen = segment_len(++path, end);
        if (*pattern == '<') {
            if (slen == 0 || n == ROUTE_PARAMS_MAX)
                return false;
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
        size_t n;
        if (!*r->path || !pattern_match(r->path, path, len, params, &n))
            continue;
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
