#include "worker/encoding/base64.h"

#include <stdint.h>
#include <string.h>

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static const char *const alphabets[] = {
    [BASE64_STANDARD] = LETTERS "+/",
    [BASE64_URL] = LETTERS "-_",
};

/* Value of a character, -1 when it has none. */
static int value_of(char c, enum base64_kind kind)
{
    const char *at = c ? strchr(alphabets[kind], c) : NULL;

    return at ? (int)(at - alphabets[kind]) : -1;
}

bool base64_decode(struct text text, enum base64_kind kind, struct buf *out)
{
    uint32_t bits = 0;
    unsigned have = 0;

    for (int i = 0; i < 2 && text.len && text.s[text.len - 1] == '='; i++)
        text.len--;
    if (text.len % 4 == 1)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        int v = value_of(text.s[i], kind);
        if (v < 0)
            return false;
        bits = bits << 6 | (uint32_t)v;
        have += 6;
        if (have >= 8) {
            have -= 8;
            unsigned char byte = (unsigned char)(bits >> have);
            if (buf_add(out, &byte, 1))
                return false;
        }
    }
    return true;
}

enum err base64_encode(const void *data, size_t len, enum base64_kind kind, struct buf *out)
{
    const unsigned char *bytes = data;
    enum err e = ERR_OK;

    for (size_t i = 0; !e && i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        uint32_t bits = (uint32_t)bytes[i] << 16;
        if (n > 1)
            bits |= (uint32_t)bytes[i + 1] << 8;
        if (n > 2)
            bits |= bytes[i + 2];
        char four[4] = {'=', '=', '=', '='};
        for (size_t k = 0; k <= n; k++)
            four[k] = alphabets[kind][bits >> (18 - 6 * k) & 63];
        e = buf_add(out, four, kind == BASE64_URL ? n + 1 : 4);
    }
    return e;
}
