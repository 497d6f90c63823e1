#include "frontend/host.h"

#include "common/text.h"

#include <string.h>

/* unreserved and sub-delims */
static bool is_name_char(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
           (c && strchr("-._~!$&'()*+,;=", c));
}

/* Length of the name or IPv4 address at the front. */
static size_t name_len(const char *s, size_t len)
{
    size_t i = 0;

    while (i < len) {
        if (is_name_char(s[i]))
            i++;
        else if (s[i] == '%' && i + 2 < len && hex_value(s[i + 1]) >= 0 && hex_value(s[i + 2]) >= 0)
            i += 3;
        else
            break;
    }
    return i;
}

/* Length of "[...]" at the front; 0: none. */
static size_t literal_len(const char *s, size_t len)
{
    const char *end = memchr(s, ']', len);

    if (!end || end == s + 1)
        return 0;
    for (const char *c = s + 1; c < end; c++)
        if (!is_name_char(*c) && *c != ':')
            return 0;
    return (size_t)(end - s) + 1;
}

bool host_ok(const char *s, size_t len)
{
    bool literal = len && *s == '[';
    size_t i = literal ? literal_len(s, len) : name_len(s, len);

    if (literal && !i)
        return false;
    if (i < len && s[i] == ':')
        for (i++; i < len && s[i] >= '0' && s[i] <= '9'; i++)
            ;
    return i == len;
}
