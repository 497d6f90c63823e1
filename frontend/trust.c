#include "frontend/trust.h"

#include <string.h>

static bool parse_bits(const char *s, size_t len, unsigned most, unsigned *ret)
{
    unsigned n = 0;

    if (!len || len > 3)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        n = n * 10 + (unsigned)(s[i] - '0');
    }
    *ret = n;
    return n <= most;
}

static bool parse_network(const char *s, size_t len, struct network *ret)
{
    const char *slash = memchr(s, '/', len);
    size_t n = slash ? (size_t)(slash - s) : len;
    unsigned width = memchr(s, ':', n) ? 128 : 32, bits = width;

    if (!address_parse(s, n, &ret->address))
        return false;
    if (slash && !parse_bits(slash + 1, len - n - 1, width, &bits))
        return false;
    ret->bits = 128 - width + bits;
    return true;
}

enum err trust_parse(const char *text, struct trust *ret, const char **ret_at)
{
    static const char separators[] = ", \t";

    ret->len = 0;
    for (text += strspn(text, separators); *text; text += strspn(text, separators)) {
        size_t len = strcspn(text, separators);
        *ret_at = text;
        if (ret->len == TRUST_MAX || !parse_network(text, len, &ret->networks[ret->len]))
            return ERR_INVALID;
        ret->len++;
        text += len;
    }
    return ERR_OK;
}

static bool matches(const struct network *n, const struct address *a)
{
    unsigned whole = n->bits / 8, rest = n->bits % 8;

    if (memcmp(n->address.bytes, a->bytes, whole) != 0)
        return false;
    return !rest || (n->address.bytes[whole] ^ a->bytes[whole]) >> (8 - rest) == 0;
}

bool trust_has(const struct trust *t, const struct address *a)
{
    for (size_t i = 0; i < t->len; i++)
        if (matches(&t->networks[i], a))
            return true;
    return false;
}
