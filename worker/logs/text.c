#include "worker/logs/text.h"

#include "common/utf8.h"

#include <stdbool.h>
#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/* Characters that stand for themselves. */
static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* The next part of a text and what it is written as: a run of characters as they are, or one
 * escape. Returns the bytes of the text that it covers. */
static size_t next_part(struct text t, size_t at, char escape[8], struct text *ret)
{
    const unsigned char *s = (const unsigned char *)t.s + at;
    size_t left = t.len - at, n = 0, sequence;

    while (n < left && (is_plain(s[n]) ||
                        (s[n] >= 0x80 && (sequence = utf8_sequence(t.s + at + n, left - n)) > 0)))
        n += s[n] < 0x80 ? 1 : sequence;
    if (n) {
        *ret = (struct text){t.s + at, n};
        return n;
    }
    if (*s >= 0x80) {
        *ret = (struct text){REPLACEMENT, 3};
        return 1;
    }
    const char *letter = *s ? strchr("\nn\tt\rr\"\"\\\\\bb\ff", *s) : NULL;
    if (letter) {
        escape[0] = '\\';
        escape[1] = letter[1];
        *ret = (struct text){escape, 2};
    } else {
        memcpy(escape, "\\u00", 4);
        hex_print(s, 1, escape + 4);
        *ret = (struct text){escape, 6};
    }
    return 1;
}

size_t json_text_size(struct text t)
{
    char escape[8];
    struct text part;
    size_t size = 0;

    for (size_t at = 0; at < t.len; size += part.len)
        at += next_part(t, at, escape, &part);
    return size;
}

enum err json_text_add(struct buf *b, struct text t)
{
    size_t before = b->len;

    if (json_text_add_front(b, t, SIZE_MAX) == t.len)
        return ERR_OK;
    b->len = before;
    if (b->data)
        b->data[before] = '\0';
    return ERR_TOO_LARGE;
}

/* How much of a run of characters fits: no sequence is cut. */
static size_t run_front(struct text run, size_t room)
{
    if (run.len <= room)
        return run.len;
    while (room && ((unsigned char)run.s[room] & 0xc0) == 0x80)
        room--;
    return room;
}

size_t json_text_add_front(struct buf *b, struct text t, size_t max)
{
    size_t at = 0, room = b->max - b->len;
    char escape[8];
    struct text part;

    if (room > max)
        room = max;
    while (at < t.len) {
        size_t n = next_part(t, at, escape, &part);
        size_t fits = part.s == t.s + at ? run_front(part, room) : part.len <= room ? part.len : 0;
        if (fits && buf_add(b, part.s, fits))
            return at;
        room -= fits;
        at += fits == part.len ? n : fits;
        if (fits < part.len)
            return at;
    }
    return at;
}
