/* A bound on what clients can make a process log: so many lines of one kind about one address, and
 * five times as many of one kind at all, in a minute; log_write() and log_admit() keep it. What is
 * left out is counted (testflinger_log_lines_left_out_total) and told by the next line after it. */
#ifndef COMMON_LOG_QUOTA_H
#define COMMON_LOG_QUOTA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_QUOTA_KIND 5 /* times the limit of an address: that of a kind */

/* Lines of one kind about one address; 0: no bound at all, as before the call. */
void log_quota_setup(int64_t lines);

/* Takes one line of a kind, a text that lives on, from what the minute of `now_ms` (monotonic) has
 * left, of the kind and, if `about_len` is not 0, of the address that it is about (IPv6: of its
 * /64). False: it is not to be written. */
bool log_quota_take(const char *kind, const char *about, size_t about_len, int64_t now_ms);

/* The number of lines that were left out before the minute of `now_ms`, and what kind the last one
 * was; it begins anew with that. 0: none, or it was told. */
uint64_t log_quota_left_out(int64_t now_ms, const char **ret_kind);

#endif
