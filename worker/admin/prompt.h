/* Questions on the terminal. */
#ifndef WORKER_ADMIN_PROMPT_H
#define WORKER_ADMIN_PROMPT_H

#include <stdbool.h>

/* Whether standard input and stderr are terminals. */
bool prompt_possible(void);

/* Asks and returns the line without its line end, which the caller frees; NULL: end of the input.
 */
char *prompt_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Asks for a secret without showing it, twice, until both are equal; NULL: end of the input. The
 * caller wipes and frees it. */
char *prompt_secret(const char *what);

/* True for y or yes. */
bool prompt_yes(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The first line of the input, at most PROMPT_LINE_MAX bytes; NULL: none. The caller frees it. */
#define PROMPT_LINE_MAX 4096
char *prompt_first_line(void);

#endif
