/* UTF-8, as bytes that need not end with a NUL. */
#ifndef COMMON_UTF8_H
#define COMMON_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Length of the well-formed sequence (Unicode, table 3-7) at the start of `left` bytes; 0: none. */
size_t utf8_sequence(const char *s, size_t left);

/* Whether the sequence of n bytes is a control character: C0, DEL or C1. */
bool utf8_is_control(const char *s, size_t n);

/* Whether it ends a line for some readers though it is no control character: U+2028, U+2029. */
bool utf8_ends_line(const char *s, size_t n);

/* Whether a text has a control character or NUL. */
bool utf8_has_control(const char *s, size_t len);

#endif
