/* The head of an HTTP/1.x request (RFC 9112). The only parser that decides: accepted heads are
 * rewritten in one canonical form for the HTTP library. */
#ifndef FRONTEND_HEAD_H
#define FRONTEND_HEAD_H

#include "common/text.h"

#include <event2/buffer.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEAD_LINE_MAX   4094  /* bytes of the request line */
#define HEAD_FIELD_MAX  8190  /* bytes of a header line */
#define HEAD_FIELDS_MAX 100   /* header lines */
#define HEAD_TOTAL_MAX  65536 /* bytes of the whole head */

struct head_field {
    struct text name;  /* a token */
    struct text value; /* without blanks around it, and without control characters but HTAB */
};

struct head {
    int refuse; /* 0, or the refusing status: 400, 405, 431, 505 */
    struct text method;
    struct text target; /* as sent; empty where the request line has none */
    bool http_1_0;
    bool close; /* the connection ends with this request */
    bool chunked;
    bool expects_continue;
    bool has_length;
    uint64_t content_length;
    bool said_close, said_keep; /* in Connection */
    unsigned hosts;             /* Host lines */
    size_t fields_len; /* those that the HTTP library gets: none about framing or the connection */
    struct head_field fields[HEAD_FIELDS_MAX];
};

/* Reads a complete head: request line, header lines and the empty line, each with its CRLF as found
 * by line_scan. Pointers in *ret go into `data`. After `refuse` 400 and 505 the end of the body is
 * unknown, and `close` is set. */
void head_parse(const char *data, size_t len, struct head *ret);

/* "Name: value"; false: malformed. */
bool head_field_parse(struct text line, struct head_field *ret);

/* The method as static text; "GET" for one that the HTTP library does not know. */
const char *head_method(const struct head *h);

/* A head in the form that the HTTP library gets. */
struct head_canonical {
    const char *method;
    const char *target; /* "/NUMBER" of the request on its connection; not the client's */
    bool http_1_0;
    bool close;
    const struct head_field *fields;
    size_t fields_len;
};

/* Appends the head to `out`: "METHOD TARGET HTTP/1.x", Connection unless the version implies it,
 * the fields. */
void head_write(const struct head_canonical *h, struct evbuffer *out);

/* The path of a request target: without the query and, in the absolute form, without scheme and
 * authority. */
struct text head_path(struct text target);

#endif
