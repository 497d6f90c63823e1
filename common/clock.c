#include "common/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

int64_t clock_mono_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t clock_mono_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clock_boot_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clock_wall_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Floor, so that times before the epoch round the same way as those after it. */
static int64_t seconds_of(int64_t ms)
{
    return ms / 1000 - (ms % 1000 < 0);
}

void clock_rfc3339(int64_t ms, char out[CLOCK_TEXT_SIZE])
{
    time_t s = (time_t)seconds_of(ms);
    struct tm tm;
    if (!gmtime_r(&s, &tm) || strftime(out, CLOCK_TEXT_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        snprintf(out, CLOCK_TEXT_SIZE, "1970-01-01T00:00:00Z");
}

void clock_rfc3339_ms(int64_t ms, char out[CLOCK_TEXT_SIZE])
{
    clock_rfc3339(ms, out);
    size_t end = strlen(out) - 1; /* of "Z" */
    snprintf(out + end, CLOCK_TEXT_SIZE - end, ".%03dZ", (int)(ms - seconds_of(ms) * 1000));
}
