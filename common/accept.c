#include "common/accept.h"

#include <strings.h>

/* Cuts the text before `mark` off the rest, and the mark with it; trimmed. */
static struct text until(struct text *rest, char mark)
{
    const char *at = rest->len ? memchr(rest->s, mark, rest->len) : NULL;
    struct text t = {rest->s, at ? (size_t)(at - rest->s) : rest->len};
    size_t used = t.len + (at ? 1 : 0);

    rest->s += used;
    rest->len -= used;
    return text_trim(t, " \t");
}

static bool is_word(struct text t, const char *s)
{
    return t.len == strlen(s) && strncasecmp(t.s, s, t.len) == 0;
}

/* A quality in thousandths: 0 to 1 with up to three digits (RFC 9110 12.4.2); what is none: 0. */
static int number(struct text t)
{
    int q = 0, unit = 1000;

    for (size_t i = 0; i < t.len; i++) {
        if (i == 1 && t.s[i] == '.')
            continue;
        if (t.s[i] < '0' || t.s[i] > '9' || t.len > 5)
            return 0;
        q += (t.s[i] - '0') * unit;
        unit /= 10;
    }
    return t.len && q <= 1000 ? q : 0;
}

/* The quality among the parameters of one thing. */
static int quality_of(struct text parameters)
{
    while (parameters.len) {
        struct text value = until(&parameters, ';'), name = until(&value, '=');
        if (is_word(name, "q"))
            return number(text_trim(value, " \t"));
    }
    return 1000;
}

int accept_quality(struct text header, const char *name)
{
    struct text rest = {header.s ? header.s : "", header.s ? header.len : 0};
    int found = -1;

    while (rest.len) {
        struct text one = until(&rest, ',');
        bool named = is_word(until(&one, ';'), name);
        int q = named ? quality_of(one) : -1;
        found = q > found ? q : found;
    }
    return found;
}

bool accept_gzip(struct text header)
{
    int gzip = accept_quality(header, "gzip"), x_gzip = accept_quality(header, "x-gzip");

    gzip = x_gzip > gzip ? x_gzip : gzip;
    if (gzip < 0)
        gzip = accept_quality(header, "*");
    return gzip > 0 && gzip >= accept_quality(header, "identity");
}

/* The quality of a media type by the most specific entry that fits it. */
static int of_type(struct text header, const char *type, const char *range)
{
    int q = accept_quality(header, type);

    if (q < 0)
        q = accept_quality(header, range);
    if (q < 0)
        q = accept_quality(header, "*/*");
    return q < 0 ? 0 : q;
}

bool accept_json(struct text header)
{
    return of_type(header, "application/json", "application/*") >
           of_type(header, "text/html", "text/*");
}
