/* Heartbeats: each child with an event loop reports to its master and the monitor that the loop
 * turns and whether it accepts connections.
 *
 * The records, one a slot, are in memory that the master shares with its children; only the slot's
 * child writes a record. Times are ms of the monotonic clock, which stops during a suspend. Without
 * beat_share, or without memory, nothing is recorded. */
#ifndef COMMON_BEAT_H
#define COMMON_BEAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A child beats at least this often. */
#define BEAT_MS 1000

struct beat {
    int64_t turned;    /* when the loop last turned; 0: not yet */
    uint64_t accepted; /* connections so far */
    int64_t paused;    /* since when it accepts none, on purpose; 0: it accepts */
    bool excused;      /* in a call that may take minutes */
};

/* Makes the memory for slots 0 to slots - 1; before the children are forked. Logs a failure.
 * `judged`: a loop that has not turned for seconds counts in beat_health. */
void beat_share(unsigned slots, bool judged);

/* This process beats in this slot from now on. */
void beat_use(unsigned slot);
/* Clears the record of a child that ended. */
void beat_forget(unsigned slot);

void beat_turn(void);
/* A call begins or ends that may take minutes (building indexes): the watchdog waits for it. */
void beat_excused(bool excused);
void beat_accepted(void);
void beat_paused(bool paused);

/* false: nothing is known of the slot. */
bool beat_read(unsigned slot, struct beat *ret);

#define BEAT_REASON_SIZE 64
/* Whether at least one child's loop turns and accepts connections; false: `reason` gets why. True
 * before beat_share or without memory. */
bool beat_health(char reason[BEAT_REASON_SIZE]);

#endif
