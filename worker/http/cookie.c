#include "worker/http/cookie.h"

#include "common/utf8.h"

#include <ctype.h>
#include <string.h>

#define SPACES " \t\r\n\v\f"

static bool is_token(unsigned char c)
{
    return isalnum(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_octal(char c)
{
    return c >= '0' && c <= '7';
}

/* Appends the content of a quoted value; false when the buffer is full. */
static bool unquote(struct text t, struct buf *out)
{
    for (size_t i = 0; i < t.len; i++) {
        char c = t.s[i];
        if (c == '\\' && i + 3 < t.len && is_octal(t.s[i + 1]) && is_octal(t.s[i + 2]) &&
            is_octal(t.s[i + 3])) {
            c = (char)((t.s[i + 1] - '0') * 64 + (t.s[i + 2] - '0') * 8 + (t.s[i + 3] - '0'));
            i += 3;
        } else if (c == '\\' && i + 1 < t.len) {
            c = t.s[++i];
        }
        if (buf_add(out, &c, 1))
            return false;
    }
    return true;
}

/* Length of the first name=value pair; a semicolon within quotes does not end it. */
static size_t pair_len(struct text t)
{
    bool quoted = false;
    size_t i;

    for (i = 0; i < t.len; i++) {
        if (quoted && t.s[i] == '\\')
            i++;
        else if (t.s[i] == '"')
            quoted = !quoted;
        else if (t.s[i] == ';' && !quoted)
            break;
    }
    return i < t.len ? i : t.len;
}

static bool is_utf8(const struct buf *b)
{
    size_t i = 0, n;

    while (i < b->len && (n = utf8_sequence(b->data + i, b->len - i)))
        i += n;
    return i == b->len;
}

bool cookie_get(struct text header, const char *name, struct buf *out)
{
    size_t name_len = strlen(name);

    while (header.len) {
        size_t n = pair_len(header);
        struct text pair = text_trim((struct text){header.s, n}, SPACES);
        if (pair.len > name_len && memcmp(pair.s, name, name_len) == 0 && pair.s[name_len] == '=') {
            struct text value =
                text_trim((struct text){pair.s + name_len + 1, pair.len - name_len - 1}, SPACES);
            bool quoted = value.len >= 2 && value.s[0] == '"' && value.s[value.len - 1] == '"';
            if (quoted)
                value = (struct text){value.s + 1, value.len - 2};
            bool ok = quoted ? unquote(value, out) : buf_add(out, value.s, value.len) == ERR_OK;
            return ok && out->len > 0 && is_utf8(out);
        }
        n = n < header.len ? n + 1 : n;
        header = (struct text){header.s + n, header.len - n};
    }
    return false;
}

enum err cookie_quote(struct text value, struct buf *out)
{
    bool plain = value.len > 0;
    enum err e;

    for (size_t i = 0; i < value.len && plain; i++)
        plain = is_token((unsigned char)value.s[i]);
    if (plain)
        return buf_add(out, value.s, value.len);
    e = buf_add(out, "\"", 1);
    for (size_t i = 0; i < value.len && !e; i++) {
        unsigned char c = (unsigned char)value.s[i];
        bool safe = is_token(c) || (c && strchr("()/:<=>?@[]{} ", c));
        e = safe ? buf_add(out, &value.s[i], 1) : buf_printf(out, "\\%03o", c);
    }
    return e ? e : buf_add(out, "\"", 1);
}
