/* Detects that this process did not run for longer than its peers wait for it: SIGSTOP, a suspended
 * machine, a throttled container. By then they have given its requests to others, so what it has
 * received but not begun must be dropped: it would run a second time, with attempt 0.
 *
 * A thread notes the time every 100 ms, so a long call of the main thread counts as running. The
 * clock is CLOCK_BOOTTIME, which goes on during a suspend (CLOCK_MONOTONIC does not). Not detected:
 * a paused virtual machine whose hypervisor hides the pause from all of its clocks. */
#ifndef COMMON_LATE_H
#define COMMON_LATE_H

#include <stdbool.h>
#include <stdint.h>

/* Starts the thread; once a process, after the fork. `patience_ms`: pauses above it are found.
 * Without a thread (logged) nothing is found. */
void late_watch(int64_t patience_ms);

/* True since a pause was found, until late_over. Call it before each step that uses what was
 * received earlier. Costs one read of the clock. */
bool late_found(void);

/* To be called once the process dropped what was received before; logs and counts the pause. */
void late_over(void);

#endif
