/* What a GET with conditions gets of a file (RFC 9110, 13 and 14). */
#ifndef FRONTEND_RANGE_H
#define FRONTEND_RANGE_H

#include <stdint.h>

#define RANGE_DATE_SIZE 32
/* "Tue, 24 Nov 2026 12:25:45 GMT" of a time in milliseconds since the epoch. */
void range_date(int64_t ms, char out[RANGE_DATE_SIZE]);

struct range_request {
    const char *range, *if_range, *if_none_match; /* the headers; NULL: not sent */
};

struct range {
    int status;         /* 200, 206, 304 or 416 */
    int64_t first, end; /* the bytes from `first` up to but without `end` */
};

/* Decides. One range is served; several, or none that is understood, get all. `etag` is strong. */
struct range range_decide(const struct range_request *r, int64_t length, const char *etag,
                          const char *date);

#endif
