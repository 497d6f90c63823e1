#include "frontend/range.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

void range_date(int64_t ms, char out[RANGE_DATE_SIZE])
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t t = (time_t)(ms / 1000);
    struct tm tm;

    if (!gmtime_r(&t, &tm))
        memset(&tm, 0, sizeof tm);
    snprintf(out, RANGE_DATE_SIZE, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT", days + 3 * tm.tm_wday,
             tm.tm_mday, months + 3 * tm.tm_mon, (tm.tm_year + 1900) % 10000, tm.tm_hour, tm.tm_min,
             tm.tm_sec);
}

/* Reads a number of at most 18 digits at *s and moves *s behind it; -1: none. */
static int64_t take_number(const char **s)
{
    size_t digits = strspn(*s, "0123456789");
    int64_t n = 0;

    if (digits == 0)
        return -1;
    for (size_t i = 0; i < digits; i++)
        n = n < INT64_MAX / 100 ? n * 10 + ((*s)[i] - '0') : n; /* beyond any file */
    *s += digits;
    return n;
}

/* "bytes=FIRST-LAST", "bytes=FIRST-", "bytes=-SUFFIX"; false: anything else. */
static bool parse(const char *s, int64_t length, struct range *ret)
{
    static const char unit[] = "bytes=";

    if (strncasecmp(s, unit, sizeof unit - 1) != 0)
        return false;
    s += sizeof unit - 1;
    s += strspn(s, " \t");
    int64_t first = take_number(&s);
    if (*s != '-')
        return false;
    s++;
    int64_t last = take_number(&s);
    if (s[strspn(s, " \t")] || (first < 0 && last < 0) || (first >= 0 && last >= 0 && last < first))
        return false;
    if (first < 0) {
        *ret = (struct range){206, last < length ? length - last : 0, length};
        if (last == 0)
            ret->status = 416;
    } else {
        *ret = (struct range){206, first, last >= 0 && last < length ? last + 1 : length};
    }
    if (ret->first >= length)
        ret->status = 416;
    return true;
}

/* Whether a list of entity tags, or "*", matches this one. */
static bool lists(const char *list, const char *etag)
{
    size_t len = strlen(etag);

    list += strspn(list, " \t");
    if (strcmp(list, "*") == 0)
        return true;
    for (const char *at = list; (at = strstr(at, etag)); at += len)
        if (at == list || strchr(" \t,/", at[-1])) /* W/ compares weakly, which is enough here */
            return true;
    return false;
}

struct range range_decide(const struct range_request *r, int64_t length, const char *etag,
                          const char *date)
{
    struct range range = {200, 0, length};

    if (r->if_none_match && lists(r->if_none_match, etag))
        return (struct range){304, 0, 0};
    if (!r->range ||
        (r->if_range && strcmp(r->if_range, etag) != 0 && strcmp(r->if_range, date) != 0))
        return range;
    if (!parse(r->range, length, &range))
        range = (struct range){200, 0, length};
    return range;
}
