/* Questions on the terminal. */
#ifndef WORKER_ADMIN_PROMPT_H
#define WORKER_ADMIN_PROMPT_H

#include <stdbool.h>

/* Whether somebody is there to answer. */
bool prompt_possible(void);

/* Asks and returns the line without its end, which the caller frees; NULL: the input has ended. */
char *prompt_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Asks for a secret, twice and without showing it, until both are equal; NULL: the input has
 * ended. The caller wipes and frees it. */
char *prompt_secret(const char *what);

/* True for y or yes. */
bool prompt_yes(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The first line of the input, of at most PROMPT_LINE_MAX bytes; NULL: there is none. */
#define PROMPT_LINE_MAX 4096
char *prompt_first_line(void);

#endif
