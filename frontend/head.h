/* The head of an HTTP/1.x request (RFC 9112): what must be known of it before its body is read. */
#ifndef FRONTEND_HEAD_H
#define FRONTEND_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEAD_LINE_MAX   4094  /* bytes of the request line */
#define HEAD_FIELD_MAX  8190  /* bytes of a header line */
#define HEAD_FIELDS_MAX 100   /* header lines */
#define HEAD_TOTAL_MAX  65536 /* bytes of the whole head */

struct span {
    const char *s;
    size_t len;
};

struct head {
    int refuse; /* 0, or the status that answers this head: 400, 405, 431, 505 */
    struct span method;
    struct span target; /* as sent; empty where the request line has none */
    bool http_1_0;
    bool close; /* the connection ends with this request */
    bool chunked;
    bool expects_continue;
    bool bodyless; /* the method has no body (HEAD, TRACE) */
    bool has_length;
    uint64_t content_length;
};

/* Reads a complete head: request line, header lines, the empty line. Lines end with CRLF or LF.
 * Pointers in *ret go into `data`. After `refuse` 400 the end of the body is not known. */
void head_parse(const char *data, size_t len, struct head *ret);

/* The path of a request target: without query and, for the absolute form, without scheme and
 * authority. */
struct span head_path(struct span target);

#endif
