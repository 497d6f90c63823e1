#include "worker/events/receiver.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The parts of a URL. They point into it. */
struct parts {
    const char *host;
    size_t host_len; /* with the brackets of IPv6 */
    const char *authority;
    size_t authority_len; /* as written: user info, host, port */
    unsigned port;
    bool tls;
};

/* ":PORT" up to the end of the authority; empty: the scheme's default port. */
static enum err read_port(const char *s, size_t len, struct parts *p)
{
    p->port = p->tls ? 443 : 80;
    if (!len)
        return ERR_OK;
    if (*s != ':' || len < 2 || len > 6)
        return ERR_INVALID;
    p->port = 0;
    for (size_t i = 1; i < len; i++) {
        if (!isdigit((unsigned char)s[i]))
            return ERR_INVALID;
        p->port = p->port * 10 + (unsigned)(s[i] - '0');
    }
    return p->port >= 1 && p->port <= 65535 ? ERR_OK : ERR_INVALID;
}

static enum err split(const char *url, struct parts *ret)
{
    struct parts p = {.tls = strncasecmp(url, "https://", 8) == 0};

    if (!p.tls && strncasecmp(url, "http://", 7) != 0)
        return ERR_INVALID;
    p.authority = url + (p.tls ? 8 : 7);
    /* Some URL parsers take a backslash for a slash and connect to another host: refuse it. */
    p.authority_len = strcspn(p.authority, "/?#\\");
    if (p.authority[p.authority_len] == '\\')
        return ERR_INVALID;
    const char *end = p.authority + p.authority_len;
    const char *at = memrchr(p.authority, '@', p.authority_len);
    p.host = at ? at + 1 : p.authority;
    size_t left = (size_t)(end - p.host);
    const char *close = left && *p.host == '[' ? memchr(p.host, ']', left) : NULL;
    const char *colon = memchr(p.host, ':', left);
    p.host_len = close ? (size_t)(close + 1 - p.host) : colon ? (size_t)(colon - p.host) : left;
    if (!p.host_len || (*p.host == '[' && !close) ||
        read_port(p.host + p.host_len, left - p.host_len, &p))
        return ERR_INVALID;
    *ret = p;
    return ERR_OK;
}

enum err receiver_of(const char *url, char out[RECEIVER_SIZE])
{
    struct parts p;
    char text[RECEIVER_SIZE];

    if (split(url, &p) || p.host_len > RECEIVER_SIZE)
        return ERR_INVALID;
    int n = snprintf(text, sizeof text, "%s://%.*s:%u", p.tls ? "https" : "http", (int)p.host_len,
                     p.host, p.port);
    if (n >= RECEIVER_SIZE)
        return ERR_INVALID;
    for (int i = 0; i <= n; i++)
        out[i] = (char)tolower((unsigned char)text[i]);
    return ERR_OK;
}

/* Compares authorities byte by byte, as the reference server does. */
static bool is_own(const char *own, const struct parts *p)
{
    struct parts o;

    return *own && split(own, &o) == ERR_OK && o.tls == p->tls &&
           o.authority_len == p->authority_len &&
           memcmp(o.authority, p->authority, o.authority_len) == 0;
}

/* An entry of the list: HOST, HOST:PORT, *.DOMAIN, *.DOMAIN:PORT or *. */
static bool matches(const char *entry, size_t len, const struct parts *p)
{
    const char *colon = memrchr(entry, ':', len);

    if (colon && !memchr(colon, ']', len - (size_t)(colon - entry))) {
        if (strtoul(colon + 1, NULL, 10) != p->port)
            return false;
        len = (size_t)(colon - entry);
    }
    if (len == 1 && *entry == '*')
        return true;
    if (len > 2 && entry[0] == '*' && entry[1] == '.') {
        size_t suffix = len - 1;
        return p->host_len > suffix &&
               strncasecmp(p->host + p->host_len - suffix, entry + 1, suffix) == 0;
    }
    return len == p->host_len && strncasecmp(entry, p->host, len) == 0;
}

static bool is_listed(const char *list, const struct parts *p)
{
    static const char separators[] = ", \t";

    for (list += strspn(list, separators); *list; list += strspn(list, separators)) {
        size_t len = strcspn(list, separators);
        if (matches(list, len, p))
            return true;
        list += len;
    }
    return false;
}

enum receiver_rule receiver_rule(const struct config *cfg, const char *url)
{
    struct parts p;

    if (split(url, &p))
        return RECEIVER_REFUSED;
    if (is_own(cfg->webhook_url, &p))
        return RECEIVER_OWN;
    if (is_listed(cfg->webhook_hosts, &p))
        return RECEIVER_LISTED;
    if (*cfg->webhook_url || *cfg->webhook_hosts)
        return RECEIVER_REFUSED;
    return cfg->auth == AUTH_OPEN ? RECEIVER_OTHER : RECEIVER_UNSET;
}

bool receiver_allowed(enum receiver_rule rule)
{
    return rule != RECEIVER_REFUSED && rule != RECEIVER_UNSET;
}
