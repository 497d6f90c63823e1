/* Texts that need not end with a NUL. */
#ifndef COMMON_TEXT_H
#define COMMON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct text {
    const char *s; /* not NUL-terminated unless said so */
    size_t len;
};

static inline bool text_equal(struct text a, struct text b)
{
    return a.len == b.len && (!a.len || memcmp(a.s, b.s, a.len) == 0);
}

static inline bool text_is(struct text t, const char *s)
{
    return text_equal(t, (struct text){s, strlen(s)});
}

/* The order of two texts by their bytes, a beginning before the whole: < 0, 0, > 0. */
static inline int text_order(struct text a, struct text b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len ? memcmp(a.s, b.s, len) : 0;

    return order ? order : (a.len > b.len) - (a.len < b.len);
}

/* The text without the bytes of `spaces` at both ends. */
struct text text_trim(struct text t, const char *spaces);

/* The value of a hexadecimal digit of either case; -1: not a digit. */
int hex_value(char c);

/* Writes the bytes as 2 * len lower-case digits and a NUL. */
void hex_print(const void *data, size_t len, char *out);

/* FNV-1a of 64 bits. `h`: the hash of the parts before, at first FNV_START. Attackers can make
 * collisions: use it only in tables whose places hold one entry each. */
#define FNV_START 0xcbf29ce484222325u
uint64_t fnv_add(uint64_t h, const void *data, size_t len);

/* FNV-1a of 32 bits, of a whole text. */
uint32_t fnv_32(const void *data, size_t len);

/* Appends the length too: "a", "bc" must not hash as "ab", "c". */
uint64_t fnv_add_text(uint64_t h, struct text t);

#endif
