#include "common/log.h"

#include "common/clock.h"
#include "common/log_quota.h"
#include "common/metrics.h"
#include "common/utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct {
    const char *role;
    enum log_format format;
    enum log_level level;
    char request[64];
} current = {"testflinger", LOG_TEXT, LOG_INFO, ""};

static char last_error[1000];

static const char *const level_names[] = {"error", "warning", "info", "debug"};

void log_setup(const char *role, enum log_format format, enum log_level level)
{
    current.role = role;
    current.format = format;
    current.level = level;
}

void log_set_request(const char *id)
{
    snprintf(current.request, sizeof current.request, "%s", id ? id : "");
}

static void timestamp(char *out, size_t size)
{
    struct timespec t;
    struct tm tm;
    char seconds[32];

    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &tm);
    strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out, size, "%s.%03ldZ", seconds, t.tv_nsec / 1000000);
}

/* Appends the escaped form of the n bytes at s: one character, or n == 0 for an invalid byte. Raw
 * control characters in a text line could hide it or forge another one. */
static size_t escape_one(char *out, const char *s, size_t n, bool json)
{
    unsigned char c = (unsigned char)*s;

    if (json && n == 1 && (c == '"' || c == '\\')) {
        out[0] = '\\';
        out[1] = (char)c;
        return 2;
    }
    if (n == 0)
        return (size_t)snprintf(out, 7, json ? "\\ufffd" : "\\x%02x", c);
    if (utf8_is_control(s, n))
        return (size_t)snprintf(out, 7, json ? "\\u%04x" : "\\x%02x",
                                n == 1 ? c : (unsigned char)s[1]);
    if (utf8_ends_line(s, n))
        return (size_t)snprintf(out, 7, "\\u20%02x", (unsigned char)s[2] - 0x80);
    memcpy(out, s, n);
    return n;
}

/* Escapes for a JSON string or a line of text; UTF-8 stays as it is. */
static size_t escape(char *out, size_t size, const char *s, bool json)
{
    size_t used = 0, left = strlen(s);

    while (left && used + 7 < size) {
        size_t n = utf8_sequence(s, left);
        used += escape_one(out + used, s, n, json);
        s += n ? n : 1;
        left -= n ? n : 1;
    }
    out[used] = '\0';
    return used;
}

const char *log_last_error(void)
{
    return last_error;
}

/* Writes one line, at any level. */
static void emit(enum log_level level, const char *message)
{
    char escaped[LOG_LINE_MAX / 2], request[160] = "", line[LOG_LINE_MAX], when[48];

    timestamp(when, sizeof when);
    bool json = current.format == LOG_JSON;
    escape(escaped, sizeof escaped, message, json);
    if (current.request[0]) {
        char id[130];
        escape(id, sizeof id, current.request, json);
        snprintf(request, sizeof request, json ? "\"request_id\": \"%s\", " : "[%s] ", id);
    }
    int n = json ? snprintf(line, sizeof line,
                            "{\"time\": \"%s\", \"level\": \"%s\", \"role\": \"%s\", \"pid\": %d, "
                            "%s\"message\": \"%s\"}\n",
                            when, level_names[level], current.role, (int)getpid(), request, escaped)
                 : snprintf(line, sizeof line, "%s %-7s %s[%d] %s%s\n", when, level_names[level],
                            current.role, (int)getpid(), request, escaped);
    if (n > 0) {
        size_t len = (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
        ssize_t ignored = write(STDERR_FILENO, line, len);
        (void)ignored; /* nowhere to report it */
    }
}

static void tell_left_out(int64_t now)
{
    char message[LOG_LINE_MAX / 4];
    const char *kind;
    uint64_t n = log_quota_left_out(now, &kind);

    if (!n)
        return;
    snprintf(message, sizeof message,
             "dropped %llu log lines above --log-limit; the last one was of the kind: %.300s",
             (unsigned long long)n, kind);
    emit(LOG_WARN, message);
}

static bool take(const char *kind, const char *about, size_t len)
{
    int64_t now = clock_mono_ms();

    tell_left_out(now);
    bool taken = log_quota_take(kind, about, len, now);
    if (!taken)
        metric_add(M_LOG_LEFT_OUT, 0, 1);
    return taken;
}

bool log_admit(const char *kind, const char *about, size_t len)
{
    return !len || take(kind, about, len);
}

void log_write(enum log_level level, const char *fmt, ...)
{
    char message[LOG_LINE_MAX / 4];
    int saved = errno;
    va_list ap;

    if (level > current.level)
        return;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    if (level == LOG_ERROR)
        snprintf(last_error, sizeof last_error, "%.999s", message);
    if (level == LOG_DEBUG || take(fmt, NULL, 0))
        emit(level, message);
    errno = saved;
}

void log_line(const char *kind, const char *line, size_t len)
{
    char out[LOG_LINE_MAX];

    if (*kind && !take(kind, NULL, 0))
        return;
    if (len >= sizeof out)
        len = sizeof out - 1;
    memcpy(out, line, len);
    out[len] = '\n';
    ssize_t ignored = write(STDERR_FILENO, out, len + 1);
    (void)ignored;
}
