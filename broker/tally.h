/* Counts a broker's events. Logs the counts once a minute if there were any; logs a warning at
 * once, at most one a second for each kind, for events that need an operator. */
#ifndef BROKER_TALLY_H
#define BROKER_TALLY_H

#include "broker/peers.h"
#include "broker/queue.h"

#include <stddef.h>
#include <stdint.h>

enum tally_kind {
#define TALLY(id, label, warning) id,
#include "broker/tally.def"
#undef TALLY
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

/* Logs the counts at the end of a minute, with the numbers of waiting requests and of those in
 * hand. */
void tally_report(struct tally *t, int64_t now, const struct queue *q);

/* Sets the gauges. `peers`: by enum bus_side. */
void tally_show(const struct queue *q, const struct peers peers[2]);

/* Names the events for the metrics; call it before children are forked. */
void tally_name_metrics(void);

#endif
