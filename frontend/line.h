/* Lines of HTTP/1.1 framing. A line ends with CRLF and nothing else (RFC 9112 2.2 lets a server
 * take a bare LF; one that does and one that does not see different requests in the same bytes). */
#ifndef FRONTEND_LINE_H
#define FRONTEND_LINE_H

#include <event2/buffer.h>
#include <stddef.h>

enum line_result {
    LINE_MORE, /* its end has not come */
    LINE_DONE,
    LINE_BAD /* a bare LF or CR, a control character other than HTAB, or longer than allowed */
};

/* Looks for the end of a line from data[*at] on. *at moves behind what need not be looked at again;
 * LINE_DONE: behind the CRLF. */
enum line_result line_scan(const char *data, size_t len, size_t *at);

/* Looks for the line at the front of `raw`, of at most `max` bytes without its end. *scanned is 0
 * for a new line and else as this function left it. LINE_DONE: *line points into `raw`, *len is
 * without the CRLF; the caller drains *scanned bytes. */
enum line_result line_find(struct evbuffer *raw, size_t max, size_t *scanned, const char **line,
                           size_t *len);

#endif
