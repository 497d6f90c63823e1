/* The master's check of one child's heartbeats (beat.h): finds a loop that hangs, or that accepts
 * nothing although connections wait.
 *
 * Faults are counted in looks, not in time: after a SIGSTOP of master and children, after a suspend
 * or on a starved machine looks are late, and a late look restarts the count. */
#ifndef COMMON_WATCHDOG_H
#define COMMON_WATCHDOG_H

#include "common/beat.h"

/* The longest time between two looks that still count. */
#define WATCHDOG_LATE_MS (3 * BEAT_MS)

enum watchdog_verdict { WATCHDOG_WELL, WATCHDOG_STILL, WATCHDOG_DEAF };

struct watchdog {
    int64_t turned; /* as of the last look */
    uint64_t accepted;
    unsigned still, deaf; /* looks in a row that found a fault */
};

/* One look, BEAT_MS after the previous one; `late`: later than WATCHDOG_LATE_MS. `waits`:
 * connections wait to be accepted. Returns a fault once `limit` looks in a row found it. */
enum watchdog_verdict watchdog_look(struct watchdog *w, const struct beat *b, bool late, bool waits,
                                    unsigned limit);

#endif
