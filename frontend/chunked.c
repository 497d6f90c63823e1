#include "frontend/chunked.h"

#include "frontend/head.h"
#include "frontend/line.h"

#include <stdbool.h>

/* chunk-size [ chunk-ext ]: hexadecimal digits; blanks are allowed before an extension. */
static bool parse_size(struct text line, uint64_t *ret)
{
    size_t i = 0;

    *ret = 0;
    for (; i < line.len && i < 16; i++) {
        int digit = hex_value(line.s[i]);
        if (digit < 0)
            break;
        *ret = *ret * 16 + (uint64_t)digit;
    }
    if (i == 0 || i == 16) /* sizes below 2^60 cannot overflow a sum */
        return false;
    while (i < line.len && (line.s[i] == ' ' || line.s[i] == '\t'))
        i++;
    return i == line.len || line.s[i] == ';';
}

/* Limits extensions, which cost CPU time and have no use: a chunk's line may have 16 bytes plus
 * twice its data. False: the lines so far exceed that by more than CHUNK_EXCESS_MAX. */
static bool excused(struct chunked *c, size_t line_len)
{
    uint64_t excuse = 16 + 2 * c->left;

    c->excess += line_len + 2;
    c->excess -= c->excess < excuse ? c->excess : (size_t)excuse;
    return c->excess <= CHUNK_EXCESS_MAX;
}

static enum chunked_result on_size(struct chunked *c, struct text line)
{
    if (!parse_size(line, &c->left) || !excused(c, line.len))
        return CHUNKED_BAD;
    c->state = c->left ? CHUNKED_END : CHUNKED_TRAILER;
    return c->left ? CHUNKED_BEGIN : CHUNKED_LINE;
}

static enum chunked_result on_end(struct chunked *c, struct text line)
{
    c->state = CHUNKED_SIZE;
    return line.len ? CHUNKED_BAD : CHUNKED_LINE;
}

/* Trailers are checked as header lines are, and dropped. */
static enum chunked_result on_trailer(struct chunked *c, struct text line)
{
    struct head_field field;

    if (!line.len)
        return CHUNKED_DONE;
    c->trailer += line.len + 2;
    return c->trailer <= CHUNK_TRAILER_MAX && head_field_parse(line, &field) ? CHUNKED_LINE
                                                                             : CHUNKED_BAD;
}

enum chunked_result chunked_next(struct chunked *c, struct evbuffer *raw)
{
    static const size_t max[] = {
        [CHUNKED_SIZE] = CHUNK_LINE_MAX, [CHUNKED_END] = 0, [CHUNKED_TRAILER] = HEAD_FIELD_MAX};
    struct text line;
    enum line_result r = line_find(raw, max[c->state], &c->scanned, &line.s, &line.len);
    enum chunked_result ret = CHUNKED_BAD;

    if (r == LINE_MORE)
        return CHUNKED_MORE;
    if (r == LINE_BAD)
        return CHUNKED_BAD;
    switch (c->state) {
    case CHUNKED_SIZE:
        ret = on_size(c, line);
        break;
    case CHUNKED_END:
        ret = on_end(c, line);
        break;
    case CHUNKED_TRAILER:
        ret = on_trailer(c, line);
        break;
    }
    evbuffer_drain(raw, c->scanned);
    c->scanned = 0;
    return ret;
}
