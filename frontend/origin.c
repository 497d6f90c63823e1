#include "frontend/origin.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define NAME_MAX_BYTES 256

static const char foreign_site[] = "A page of another site may not call this server by a browser";
static const char foreign_name[] = "Browsers may not call this server by this host name; the "
                                   "server's names are in its setting allowed-hosts";
static const char unknown_site[] =
    "A browser that does not say which site asks gets no job; use another client";

/* A part of a header. */
struct name {
    const char *s;
    size_t len;
};

/* Splits HOST, HOST:PORT, [HOST] or [HOST]:PORT: the host with its brackets, and the port (empty:
 * none). */
static void split_host(const char *text, struct name *ret_host, struct name *ret_port)
{
    size_t len = strlen(text);
    const char *close = *text == '[' ? memchr(text, ']', len) : NULL;
    const char *colon =
        memrchr(close ? close : text, ':', len - (close ? (size_t)(close - text) : 0));

    *ret_host = (struct name){text, colon ? (size_t)(colon - text) : len};
    *ret_port =
        colon ? (struct name){colon + 1, len - (size_t)(colon + 1 - text)} : (struct name){"", 0};
}

static bool equal(struct name a, struct name b)
{
    return a.len == b.len && strncasecmp(a.s, b.s, a.len) == 0;
}

/* Whether an Origin header, "http://HOST[:PORT]", names the called scheme, host and port. Anything
 * but an http or https URL ("null", extensions) is another site. */
static bool is_same_origin(const char *origin, const char *host, const char *scheme)
{
    bool tls = strncmp(origin, "https://", 8) == 0;
    struct name hosts[2], ports[2];

    if (!tls && strncmp(origin, "http://", 7) != 0)
        return false;
    if (scheme && tls != (strcmp(scheme, "https") == 0))
        return false;
    split_host(origin + (tls ? 8 : 7), &hosts[0], &ports[0]);
    split_host(host, &hosts[1], &ports[1]);
    /* Browsers leave out a scheme's default port. */
    for (int i = 0; i < 2; i++)
        if (!ports[i].len)
            ports[i] = tls ? (struct name){"443", 3} : (struct name){"80", 2};
    return hosts[0].len && equal(hosts[0], hosts[1]) && equal(ports[0], ports[1]);
}

static bool is_address(struct name host)
{
    char text[NAME_MAX_BYTES];
    struct in6_addr address;
    bool six = host.len > 2 && host.s[0] == '[' && host.s[host.len - 1] == ']';

    if (host.len >= sizeof text)
        return false;
    snprintf(text, sizeof text, "%.*s", (int)(host.len - (six ? 2 : 0)), host.s + six);
    return inet_pton(six ? AF_INET6 : AF_INET, text, &address) == 1;
}

static bool ends_with(struct name host, const char *suffix, size_t len)
{
    return host.len > len && strncasecmp(host.s + host.len - len, suffix, len) == 0;
}

/* An entry of the setting: HOST, or *.DOMAIN for all below it. */
static bool is_listed(const char *list, struct name host)
{
    static const char separators[] = ", \t";

    for (list += strspn(list, separators); *list; list += strspn(list, separators)) {
        struct name entry = {list, strcspn(list, separators)};
        if (entry.len > 2 && entry.s[0] == '*' && entry.s[1] == '.'
                ? ends_with(host, entry.s + 1, entry.len - 1)
                : equal(entry, host))
            return true;
        list += entry.len;
    }
    return false;
}

/* Names that no outsider can point here: addresses, localhost, names without a dot (nobody's in the
 * public DNS), and those of the setting. */
static bool is_own_name(const char *list, const char *text)
{
    struct name host, port;

    split_host(text, &host, &port);
    return host.len && (is_address(host) || !memchr(host.s, '.', host.len) ||
                        ends_with(host, ".localhost", 10) || is_listed(list, host));
}

/* A page cannot suppress all of these: every browser sends Accept-Language, and pages cannot set
 * Sec-Fetch-* and Origin. */
static bool is_browser(const struct origin_request *r)
{
    return r->origin || r->fetch_site || r->fetch_mode || r->fetch_dest || r->accept_language ||
           (r->user_agent && strncmp(r->user_agent, "Mozilla/", 8) == 0);
}

/* Allow a followed link: the linking page cannot read the answer. Except in a frame. */
static bool is_visit(const struct origin_request *r)
{
    return r->get && !r->changes && r->fetch_mode && strcmp(r->fetch_mode, "navigate") == 0 &&
           (!r->fetch_dest || strcmp(r->fetch_dest, "document") == 0);
}

/* Pages cannot forge Sec-Fetch-Site, but browsers send it only to https and loopback addresses.
 * Elsewhere use Origin; a GET has none, so refuse one that changes something. */
static const char *site_refusal(const struct origin_request *r)
{
    const char *site = r->fetch_site;

    if (site && (strcmp(site, "same-origin") == 0 || strcmp(site, "none") == 0))
        return NULL;
    if (site)
        return is_visit(r) ? NULL : foreign_site;
    if (r->origin)
        return r->host && is_same_origin(r->origin, r->host, r->scheme) ? NULL : foreign_site;
    return r->get && r->changes ? unknown_site : NULL;
}

struct origin_rules origin_rules(const struct config *cfg, bool is_public)
{
    bool tokenless = cfg->auth != AUTH_LOGIN, listed = *cfg->allowed_hosts;

    return (struct origin_rules){.cross_site = tokenless,
                                 .own_names = tokenless &&
                                              (listed || (cfg->auth == AUTH_OPEN && !is_public)),
                                 .allowed_hosts = cfg->allowed_hosts};
}

const char *origin_refusal(const struct origin_rules *rules, const struct origin_request *r)
{
    if (!is_browser(r))
        return NULL;
    if (rules->own_names && (!r->host || !is_own_name(rules->allowed_hosts, r->host)))
        return foreign_name;
    return rules->cross_site || r->action ? site_refusal(r) : NULL;
}
