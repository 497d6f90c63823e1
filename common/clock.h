/* Time: one place that reads the clocks. */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stddef.h>
#include <stdint.h>

/* Milliseconds, microseconds of a clock that never goes back. */
int64_t clock_mono_ms(void);
int64_t clock_mono_us(void);

/* Microseconds since the machine's start. Goes on during a suspend, as CLOCK_MONOTONIC does not,
 * and is the same for all processes of the machine. Nobody can set it. */
int64_t clock_boot_us(void);

/* Microseconds since the epoch (UTC) by this machine's clock, which may be set at any time and
 * differs between machines: for logs, ids and dates that others check. Times that processes compare
 * are those of store_now_ms(). */
int64_t clock_wall_us(void);

#define CLOCK_TEXT_SIZE 32
/* RFC 3339 text of a time in milliseconds since the epoch: whole seconds with Z
 * ("2026-11-24T12:25:45Z"). clock_rfc3339_ms: with milliseconds ("2026-11-24T12:25:45.774Z"). */
void clock_rfc3339(int64_t ms, char out[CLOCK_TEXT_SIZE]);
void clock_rfc3339_ms(int64_t ms, char out[CLOCK_TEXT_SIZE]);

#endif
