#include "frontend/forwarded.h"

#include <string.h>
#include <strings.h>

#define BLANKS " \t"

enum { HOPS_MAX = 64 }; /* the last ones of a list */

/* The last elements of a list that spans several lines, last one first. */
struct list {
    struct text items[HOPS_MAX];
    size_t len;
};

/* Length of the text up to a separator outside of quotes; false: unterminated quotes. */
static bool until(struct text s, char separator, size_t *ret)
{
    bool quoted = false;
    size_t i;

    for (i = 0; i < s.len && (quoted || s.s[i] != separator); i++) {
        if (s.s[i] == '"')
            quoted = !quoted;
        else if (quoted && s.s[i] == '\\')
            i++;
    }
    *ret = i < s.len ? i : s.len;
    return !quoted;
}

static void prepend(struct list *l, struct text item)
{
    size_t n = l->len < HOPS_MAX ? l->len : HOPS_MAX - 1;

    memmove(l->items + 1, l->items, n * sizeof *l->items);
    l->items[0] = item;
    l->len = n + 1;
}

/* Splits lines at commas (not at quoted ones if `quotes`). False: malformed. */
static bool split(const struct forwarded_values *v, bool quotes, struct list *ret)
{
    ret->len = 0;
    for (size_t i = 0; i < v->len; i++) {
        struct text rest = v->lines[i];
        for (bool more = true; more;) {
            const char *comma = memchr(rest.s, ',', rest.len);
            size_t n = comma ? (size_t)(comma - rest.s) : rest.len;
            if (quotes && !until(rest, ',', &n))
                return false;
            prepend(ret, text_trim((struct text){rest.s, n}, BLANKS));
            more = n < rest.len;
            rest = more ? (struct text){rest.s + n + 1, rest.len - n - 1} : rest;
        }
    }
    return true;
}

/* ADDRESS, IPv4:PORT, [IPv6] or [IPv6]:PORT; false: something else, such as "unknown". */
static bool parse_node(struct text s, struct address *ret)
{
    const char *colon = memchr(s.s, ':', s.len);
    const char *close = s.len && *s.s == '[' ? memchr(s.s, ']', s.len) : NULL;

    if (close)
        s = (struct text){s.s + 1, (size_t)(close - s.s - 1)};
    else if (colon && colon == memrchr(s.s, ':', s.len))
        s.len = (size_t)(colon - s.s);
    return address_parse(s.s, s.len, ret);
}

/* The value of a parameter of an element of Forwarded, without quotes; empty: absent. */
static struct text parameter(struct text element, const char *name)
{
    size_t name_len = strlen(name), n;

    for (struct text rest = element; rest.len;) {
        if (!until(rest, ';', &n))
            break;
        struct text pair = text_trim((struct text){rest.s, n}, BLANKS);
        if (pair.len > name_len && pair.s[name_len] == '=' &&
            strncasecmp(pair.s, name, name_len) == 0) {
            struct text v = {pair.s + name_len + 1, pair.len - name_len - 1};
            if (v.len >= 2 && v.s[0] == '"' && v.s[v.len - 1] == '"')
                v = (struct text){v.s + 1, v.len - 2};
            return v;
        }
        n += n < rest.len;
        rest = (struct text){rest.s + n, rest.len - n};
    }
    return (struct text){"", 0};
}

/* Walks from the caller towards the client. Returns the number of proxies passed: the client's
 * index in the list, plus one. */
static size_t walk(const struct forwarded_rules *rules, const struct list *hops,
                   struct address *client)
{
    bool rfc = rules->headers == FORWARDED_RFC7239;
    size_t n = 0;

    while (n < hops->len && (n == 0 || (!rules->one_hop && trust_has(&rules->trust, client)))) {
        struct text node = rfc ? parameter(hops->items[n], "for") : hops->items[n];
        if (!parse_node(node, client))
            break; /* the proxy did not name its client: use the proxy */
        n++;
    }
    return n;
}

/* The host that the proxy says the client called. Lists may be shorter: some proxies replace them.
 */
static struct text item(const struct list *l, size_t proxies)
{
    if (!l->len)
        return (struct text){"", 0};
    size_t i = proxies ? proxies - 1 : 0;
    return l->items[i < l->len ? i : l->len - 1];
}

static struct text scheme(struct text s)
{
    bool known = (s.len == 4 && strncasecmp(s.s, "http", 4) == 0) ||
                 (s.len == 5 && strncasecmp(s.s, "https", 5) == 0);

    return known ? s : (struct text){"", 0};
}

bool forwarded_trusts(const struct forwarded_rules *rules, const struct address *peer)
{
    return rules->one_hop || trust_has(&rules->trust, peer);
}

void forwarded_read(const struct forwarded_rules *rules, const struct address *peer,
                    const struct forwarded_values in[3], struct forwarded *ret)
{
    static struct list hops, list; /* large */
    bool rfc = rules->headers == FORWARDED_RFC7239;

    *ret = (struct forwarded){*peer, {"", 0}, {"", 0}};
    if (!split(&in[0], rfc, &hops))
        return;
    size_t proxies = walk(rules, &hops, &ret->client);
    if (rfc) {
        struct text element = item(&hops, proxies);
        ret->proto = scheme(parameter(element, "proto"));
        ret->host = parameter(element, "host");
        return;
    }
    if (split(&in[1], false, &list))
        ret->proto = scheme(item(&list, proxies));
    if (split(&in[2], false, &list))
        ret->host = item(&list, proxies);
}
