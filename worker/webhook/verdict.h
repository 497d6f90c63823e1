/* Decides what follows from a try. Pure: no clock and no random numbers of its own. */
#ifndef WORKER_WEBHOOK_VERDICT_H
#define WORKER_WEBHOOK_VERDICT_H

#include "common/config.h"
#include "worker/store/outbox.h"

#include <stdint.h>

enum fault {
#define FAULT(id, label, reason, away) id,
#include "worker/webhook/faults.def"
#undef FAULT
    FAULT_COUNT_
};

struct fault_row {
    const char *label, *reason;
    bool away;
};
extern const struct fault_row fault_rows[FAULT_COUNT_];

/* How a try ended. */
struct outcome {
    enum fault fault;
    int status;             /* of the answer; 0: no answer */
    int64_t retry_after_ms; /* from Retry-After; 0: not sent */
};

/* The fault of an answer's status. */
enum fault fault_of_status(int status);

/* The event's history, as of the end of this try. */
struct tried {
    int64_t tries;    /* including this one */
    int64_t since_ms; /* arrival of the event */
    int64_t now_ms;
    uint64_t random; /* a new random number */
};

/* DONE, GIVE_UP, or RETRY with *ret_due_ms set. Retries are given up at --webhook-tries, and where
 * the next try would come after --webhook-age. */
enum outbox_outcome verdict(const struct config *cfg, const struct outcome *o,
                            const struct tried *t, int64_t *ret_due_ms);

/* The pause after so many tries: a random part of a bound that doubles with each try. */
int64_t backoff_ms(const struct config *cfg, int64_t tries, uint64_t random);

#endif
