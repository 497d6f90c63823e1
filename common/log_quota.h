/* Limits the lines that clients can make a process log in a minute: by kind and address, and five
 * times as many by kind. log_write() and log_admit() apply it. Dropped lines are counted
 * (testflinger_log_lines_left_out_total) and reported by the next line. */
#ifndef COMMON_LOG_QUOTA_H
#define COMMON_LOG_QUOTA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_QUOTA_KIND 5 /* limit of a kind: so many times that of an address */

/* Sets the limit of lines of one kind about one address; 0 and before the call: no limit. */
void log_quota_setup(int64_t lines);

/* Takes one line of a kind (static text) from the limits of the minute of `now_ms` (monotonic):
 * that of the kind, and if `about_len` is not 0 that of the address (IPv6: its /64). False: drop
 * it. */
bool log_quota_take(const char *kind, const char *about, size_t about_len, int64_t now_ms);

/* The number of lines dropped before the minute of `now_ms`, and the kind of the last one; resets
 * both. 0: none since the last call. */
uint64_t log_quota_left_out(int64_t now_ms, const char **ret_kind);

#endif
