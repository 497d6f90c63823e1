/* Structured log on stderr: one JSON object a line, or text for people.
 * A line is at most LOG_LINE_MAX bytes and is written with one write(2), so that the lines of
 * several processes do not mix. Never log a token, password or key. */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdbool.h>
#include <stddef.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

enum log_format { LOG_TEXT, LOG_JSON };

#define LOG_LINE_MAX 4096

/* Sets the role that every line carries. `role` must outlive the process. */
void log_setup(const char *role, enum log_format format, enum log_level level);

/* The id of the request that the following lines are about; NULL or "" for none. It is copied. */
void log_set_request(const char *id);

/* Says what happened and, from LOG_WARN on, what the operator can do about it. */
void log_write(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The message of the last LOG_ERROR line that this process, or its parent before the fork, logged,
 * cut at 1000 bytes; "": none. */
const char *log_last_error(void);

/* Limits lines that clients can cause: true when one more line of this kind (static text) about
 * this address may be written in this minute (log_quota.h). Ask before the line; an empty address
 * always passes. log_write() and log_line() limit lines by kind themselves. */
bool log_admit(const char *kind, const char *about, size_t len);

/* Writes a finished line of JSON, whatever the level: security events have their own form. `kind`:
 * as for log_admit; "": never dropped. */
void log_line(const char *kind, const char *line, size_t len);

#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)

#endif
