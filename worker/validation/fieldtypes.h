/* The types of fields in request bodies, as pure functions over texts that need not end with a NUL
 * and may hold NUL characters. Texts are UTF-8; bytes that are not count as U+FFFD. */
#ifndef WORKER_VALIDATION_FIELDTYPES_H
#define WORKER_VALIDATION_FIELDTYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum integer_fault {
    INTEGER_OK,
    INTEGER_INVALID,
    INTEGER_TOO_LONG, /* an integer, but beyond 64 bits */
    INTEGER_INFINITE
};

/* An integer as Python's int() reads it: white space around it, a sign, `_` between digits, decimal
 * digits of any script. *ret is set only when INTEGER_OK. */
__attribute__((warn_unused_result)) enum integer_fault integer_from_text(const char *s, size_t len,
                                                                         int64_t *ret);

/* Truncates toward zero. NaN is invalid. *ret is set only when INTEGER_OK. */
__attribute__((warn_unused_result)) enum integer_fault integer_from_real(double real, int64_t *ret);

/* One of the words for true and false (t, True, on, Yes, 1, ... in the spellings of the API).
 * False: it is none of them, *ret is as it was. */
__attribute__((warn_unused_result)) bool boolean_from_text(const char *s, size_t len, bool *ret);

/* http, https, ftp, ftps URLs whose host is a dotted name, localhost, four groups of digits or an
 * address in brackets. No white space, no NUL. */
bool is_url(const char *s, size_t len);

/* user@domain: a dot-atom or quoted user; a dotted domain, localhost or [IPv4 address]. */
bool is_email(const char *s, size_t len);

/* Date and time of ISO 8601 with an optional zone (none: UTC), as milliseconds since 1970, the rest
 * cut off. False: it is none, *ret_ms is as it was. */
__attribute__((warn_unused_result)) bool datetime_from_text(const char *s, size_t len,
                                                            int64_t *ret_ms);

enum duration_fault {
    DURATION_OK,
    DURATION_EMPTY,
    DURATION_NEGATIVE,
    DURATION_INVALID,
    DURATION_TOO_LONG /* beyond 64 bits of seconds */
};

/* An integer (seconds) or the sum of numbers with units, in any order: `2d 5h30m`, of any case.
 * *ret_seconds is set only when DURATION_OK. */
__attribute__((warn_unused_result)) enum duration_fault
duration_from_text(const char *s, size_t len, int64_t *ret_seconds);

/* Narrows a text to what is left without the white space (of Unicode) at both ends. */
void field_trim(const char **s, size_t *len);

/* Whether the text holds white space (of Unicode). */
bool text_has_space(const char *s, size_t len);

#endif
