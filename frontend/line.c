#include "frontend/line.h"

static size_t min(size_t a, size_t b)
{
    return a < b ? a : b;
}

enum line_result line_scan(const char *data, size_t len, size_t *at)
{
    for (size_t i = *at; i < len; i++) {
        unsigned char c = (unsigned char)data[i];
        if ((c >= 0x20 && c != 0x7f) || c == '\t')
            continue;
        *at = i; /* a CR is looked at again when what follows it has come */
        if (c != '\r')
            return LINE_BAD;
        if (i + 1 == len)
            return LINE_MORE;
        if (data[i + 1] != '\n')
            return LINE_BAD;
        *at = i + 2;
        return LINE_DONE;
    }
    *at = len;
    return LINE_MORE;
}

enum line_result line_find(struct evbuffer *raw, size_t max, size_t *scanned, const char **line,
                           size_t *len)
{
    size_t most = max + 2, n = min(evbuffer_get_length(raw), most);

    if (n == *scanned)
        return LINE_MORE;
    *line = (const char *)evbuffer_pullup(raw, (ev_ssize_t)n);
    enum line_result r = line_scan(*line, n, scanned);
    if (r == LINE_MORE && n == most)
        return LINE_BAD;
    *len = r == LINE_DONE ? *scanned - 2 : 0;
    return r;
}
