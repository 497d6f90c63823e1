#include "common/utf8.h"

#include <string.h>

size_t utf8_sequence(const char *text, size_t left)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t n = left == 0                     ? 0
               : s[0] < 0x80                 ? 1
               : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
               : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
               : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
                                             : 0;

    if (!n || n > left)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return n;
}

bool utf8_is_control(const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *)text;

    return n == 1 ? s[0] < 0x20 || s[0] == 0x7f : n == 2 && s[0] == 0xc2 && s[1] < 0xa0;
}

bool utf8_ends_line(const char *s, size_t n)
{
    return n == 3 && memcmp(s, "\xe2\x80", 2) == 0 && (s[2] == '\xa8' || s[2] == '\xa9');
}

bool utf8_has_control(const char *s, size_t len)
{
    for (size_t i = 0, n; i < len; i += n ? n : 1) {
        n = utf8_sequence(s + i, len - i);
        if (utf8_is_control(s + i, n))
            return true;
    }
    return false;
}
