/* Holds: agents that an operator has taken out of service, and paused queues. Part of store.h,
 * whose rules and errors apply. */
#ifndef WORKER_STORE_HOLDS_H
#define WORKER_STORE_HOLDS_H

#include "common/envelope.h"
#include "worker/validation/names.h"

#include <stdbool.h>
#include <stdint.h>

#define HOLDS_MAX        10000 /* of both kinds */
#define HOLD_MODE_QUEUE  "PAUSED"
#define HOLD_MODE_ONLINE "ONLINE" /* of an agent: no hold */

enum hold_kind { HOLD_AGENT, HOLD_QUEUE };

/* A hold to set. `mode` NULL: to end, where it was set before `at_ms` and, with `only`, is of that
 * mode. */
struct hold {
    enum hold_kind kind;
    struct text name;
    const char *mode, *only;
    struct text by, reason; /* by: client id; s NULL: unknown */
    int64_t at_ms;
    int64_t until_ms; /* 0: no end */
};

/* Whether there is a hold now; name.s NULL: any of its kind. */
struct hold_look {
    enum hold_kind kind;
    struct text name;
    bool held; /* out */
};

/* The key of a hold, at most one for each thing; false: nothing of this name can be held. */
#define HOLD_ID_SIZE (NAME_BYTES_MAX + 3)
bool hold_id(enum hold_kind kind, struct text name, char out[HOLD_ID_SIZE]);
/* The keys of a kind lie from `first` to `last`; hold_range_of: those of the name, if its s is not
 * NULL. False: nothing of this name can be held. */
bool hold_range_of(enum hold_kind kind, struct text name, char first[HOLD_ID_SIZE],
                   char last[HOLD_ID_SIZE]);
void hold_range(enum hold_kind kind, char first[HOLD_ID_SIZE], char last[HOLD_ID_SIZE]);

#endif
