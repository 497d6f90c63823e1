#include "common/log.h"

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

/* Escapes for a JSON string; bytes that are no ASCII go as they are (UTF-8 stays UTF-8). */
static size_t json_escape(char *out, size_t size, const char *s)
{
    size_t n = 0;
    for (; *s && n + 7 < size; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\') {
            out[n++] = '\\';
            out[n++] = (char)c;
        } else if (c < 0x20 || c == 0x7f) {
            n += (size_t)snprintf(out + n, size - n, "\\u%04x", c);
        } else {
            out[n++] = (char)c;
        }
    }
    out[n] = '\0';
    return n;
}

const char *log_last_error(void)
{
    return last_error;
}

void log_line(const char *line, size_t len)
{
    char out[LOG_LINE_MAX];

    if (len >= sizeof out)
        len = sizeof out - 1;
    memcpy(out, line, len);
    out[len] = '\n';
    ssize_t ignored = write(STDERR_FILENO, out, len + 1);
    (void)ignored;
}

void log_write(enum log_level level, const char *fmt, ...)
{
    char message[LOG_LINE_MAX / 4], escaped[LOG_LINE_MAX / 2], request[160] = "";
    char line[LOG_LINE_MAX], when[48];
    int saved = errno;
    va_list ap;

    if (level > current.level)
        return;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    if (level == LOG_ERROR)
        snprintf(last_error, sizeof last_error, "%.999s", message);
    timestamp(when, sizeof when);
    json_escape(escaped, sizeof escaped, message);
    bool json = current.format == LOG_JSON;
    if (current.request[0]) {
        char id[130];
        json_escape(id, sizeof id, current.request);
        snprintf(request, sizeof request, json ? "\"request_id\": \"%s\", " : "[%s] ", id);
    }
    int n = json ? snprintf(line, sizeof line,
                            "{\"time\": \"%s\", \"level\": \"%s\", \"role\": \"%s\", \"pid\": %d, "
                            "%s\"message\": \"%s\"}\n",
                            when, level_names[level], current.role, (int)getpid(), request, escaped)
                 : snprintf(line, sizeof line, "%s %-7s %s[%d] %s%s\n", when, level_names[level],
                            current.role, (int)getpid(), request, message);
    if (n > 0) {
        size_t len = (size_t)n < sizeof line ? (size_t)n : sizeof line - 1;
        ssize_t ignored = write(STDERR_FILENO, line, len);
        (void)ignored; /* nowhere left to complain */
    }
    errno = saved;
}
