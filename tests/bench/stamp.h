/* The moment of sending, within a text that is sent: its receiver, on the same machine, reads how
 * long it took. */
#ifndef TESTS_BENCH_STAMP_H
#define TESTS_BENCH_STAMP_H

#include <stddef.h>
#include <stdint.h>

#define STAMP_MARK  "{now}"
#define STAMP_LABEL "sent at "
#define STAMP_SIZE  20 /* digits: nanoseconds of the monotonic clock */

/* A copy of the text with room for a stamp in place of its mark, which free() ends. *ret_at: where
 * the digits are; NULL when the text has no mark. NULL: no memory. */
char *stamp_room(const char *text, char **ret_at);

/* Writes the time into its room. */
void stamp_write(char *at, int64_t now_ns);

/* Reads the stamp behind STAMP_LABEL; 0: there is none. */
int64_t stamp_read(const char *text, size_t len);

#endif
