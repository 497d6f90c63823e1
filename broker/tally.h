/* What a broker counts, and how it tells: a line a minute with the counts when there were any; a
 * warning at once, but at most one a second, for a kind of event that an operator should know. */
#ifndef BROKER_TALLY_H
#define BROKER_TALLY_H

#include <stddef.h>
#include <stdint.h>

enum tally_kind {
    TALLY_REQUESTS,
    TALLY_REPLIES,
    TALLY_FULL,        /* rejected: the queue was full */
    TALLY_LATE,        /* rejected: waited past the deadline */
    TALLY_AGAIN,       /* taken back from a worker that is gone */
    TALLY_GIVEN_UP,    /* rejected: too many workers died of it */
    TALLY_UNDELIVERED, /* answers whose frontend is gone or does not read */
    TALLY_STRAY,   /* replies to requests that the worker does not hold, messages of peers that left
                    */
    TALLY_GARBAGE, /* malformed or misplaced messages, dropped */
    TALLY_CROWD,   /* messages of peers beyond the limit, dropped */
    TALLY_COUNT_
};

struct tally {
    uint64_t counts[TALLY_COUNT_]; /* since the last report */
    uint64_t untold[TALLY_COUNT_]; /* since the last warning */
    int64_t next_warning[TALLY_COUNT_];
    int64_t next_report;
};

void tally_init(struct tally *t, int64_t now);

/* Counts one event; `now` in milliseconds, monotonic. */
void tally_add(struct tally *t, enum tally_kind kind, int64_t now);

/* Logs the counts when a minute is over, with the requests that wait and that are in hand. */
void tally_report(struct tally *t, int64_t now, size_t waiting, size_t in_hand);

/* Names the kinds for the metrics; before the children are forked. */
void tally_name_metrics(void);

#endif
