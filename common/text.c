#include "common/text.h"

#define FNV_PRIME 0x100000001b3u

static bool is_in(char c, const char *set)
{
    return c && strchr(set, c);
}

struct text text_trim(struct text t, const char *spaces)
{
    while (t.len && is_in(*t.s, spaces))
        t.s++, t.len--;
    while (t.len && is_in(t.s[t.len - 1], spaces))
        t.len--;
    return t;
}

int hex_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

void hex_print(const void *data, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *bytes = data;

    for (size_t i = 0; i < len; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    *out = '\0';
}

uint64_t fnv_add(uint64_t h, const void *data, size_t len)
{
    const unsigned char *bytes = data;

    for (size_t i = 0; i < len; i++)
        h = (h ^ bytes[i]) * FNV_PRIME;
    return h;
}

uint32_t fnv_32(const void *data, size_t len)
{
    const unsigned char *bytes = data;
    uint32_t h = 2166136261u;

    for (size_t i = 0; i < len; i++)
        h = (h ^ bytes[i]) * 16777619u;
    return h;
}

uint64_t fnv_add_text(uint64_t h, struct text t)
{
    return fnv_add(fnv_add(h, &t.len, sizeof t.len), t.s, t.len);
}
