#include "common/packed.h"

#include <stdint.h>

/* What follows a first byte: a count of `width` bytes (of bytes or objects), or a fixed number of
 * bytes. */
struct form {
    uint8_t width;   /* 0, 1, 2 or 4 */
    uint8_t bytes;   /* in addition to the counted ones */
    uint8_t objects; /* 1: the count is of objects; 2: of pairs */
};

enum { NEVER_USED = 0xc1 };

/* The forms of the first bytes 0xc0 to 0xdf; all others carry their count in themselves. */
static const struct form forms[32] = {
    {0, 0, 0},                                              /* nil */
    {0, 0, 0},                                              /* never used */
    {0, 0, 0},                                              /* false */
    {0, 0, 0},                                              /* true */
    {1, 0, 0},                                              /* bin */
    {2, 0, 0}, {4, 0, 0}, {1, 1, 0},                        /* ext: a type, then data */
    {2, 1, 0}, {4, 1, 0}, {0, 4, 0},                        /* float */
    {0, 8, 0}, {0, 1, 0},                                   /* uint */
    {0, 2, 0}, {0, 4, 0}, {0, 8, 0}, {0, 1, 0},             /* int */
    {0, 2, 0}, {0, 4, 0}, {0, 8, 0}, {0, 2, 0},             /* fixext */
    {0, 3, 0}, {0, 5, 0}, {0, 9, 0}, {0, 17, 0}, {1, 0, 0}, /* str */
    {2, 0, 0}, {4, 0, 0}, {2, 0, 1},                        /* array */
    {4, 0, 1}, {2, 0, 2},                                   /* map */
    {4, 0, 2},
};

/* Skips one object's head; adds the objects that it announces to `objects`. */
static bool step(const uint8_t **p, const uint8_t *end, uint64_t *objects)
{
    uint8_t first = *(*p)++;
    uint64_t n = 0, bytes = 0;

    if (first >= 0xc0 && first <= 0xdf) {
        const struct form *f = &forms[first - 0xc0];
        if (first == NEVER_USED || end - *p < f->width)
            return false;
        for (int i = 0; i < f->width; i++)
            n = n << 8 | *(*p)++;
        *objects += n * f->objects;
        bytes = f->bytes + (f->objects ? 0 : n);
    } else if (first >= 0xa0 && first <= 0xbf) {
        bytes = first & 0x1f;
    } else if (first >= 0x80 && first <= 0x9f) {
        *objects += (uint64_t)(first & 0x0f) * (first < 0x90 ? 2 : 1);
    }
    if (bytes > (uint64_t)(end - *p))
        return false;
    *p += bytes;
    return true;
}

bool packed_is_sound(const void *data, size_t len)
{
    const uint8_t *p = data, *end = p + len;
    uint64_t objects = 1; /* announced so far */

    for (uint64_t seen = 0; seen < objects; seen++)
        if (p == end || objects > PACKED_OBJECTS_MAX || !step(&p, end, &objects))
            return false;
    return p == end;
}
