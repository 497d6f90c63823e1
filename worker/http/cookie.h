/* Cookies of RFC 6265, with the quoting that the existing clients' library uses: a value that holds
 * anything but token characters stands in double quotes, other bytes as \ooo (octal). */
#ifndef WORKER_HTTP_COOKIE_H
#define WORKER_HTTP_COOKIE_H

#include "common/buf.h"
#include "common/envelope.h"

#include <stdbool.h>

/* Finds a cookie in a Cookie header and appends its unquoted value to `out`. False: not there,
 * empty, longer than the buffer's maximum, or not UTF-8. */
bool cookie_get(struct text header, const char *name, struct buf *out);

/* Appends a value, quoted where it must be. */
enum err cookie_quote(struct text value, struct buf *out) MUST_CHECK;

#endif
