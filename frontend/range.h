/* The answer to a conditional GET of a file (RFC 9110, 13 and 14). */
#ifndef FRONTEND_RANGE_H
#define FRONTEND_RANGE_H

#include <stdint.h>

#define RANGE_DATE_SIZE 32
/* A time in milliseconds since the epoch as "Tue, 24 Nov 2026 12:25:45 GMT". */
void range_date(int64_t ms, char out[RANGE_DATE_SIZE]);

struct range_request {
    const char *range, *if_range, *if_none_match; /* the headers; NULL: not sent */
};

struct range {
    int status;         /* 200, 206, 304 or 416 */
    int64_t first, end; /* the bytes from `first` to before `end` */
};

/* Decides on the answer. One range is served; several or invalid ones get the whole file. `etag` is
 * strong. */
struct range range_decide(const struct range_request *r, int64_t length, const char *etag,
                          const char *date);

#endif
