/* The value of a Host header (RFC 9110 7.2). */
#ifndef FRONTEND_HOST_H
#define FRONTEND_HOST_H

#include <stdbool.h>
#include <stddef.h>

/* uri-host [ ":" port ]: a name, an IPv4 address, or an IP literal in brackets (RFC 3986 3.2.2). An
 * empty one is valid: the client's target had no authority. */
bool host_ok(const char *s, size_t len);

#endif
