/* The phases of a job, and in which of them it was at a time. */
#ifndef WORKER_JOBS_PHASES_H
#define WORKER_JOBS_PHASES_H

#include "common/envelope.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    PHASE_COUNT = 0
#define PHASE(name) +1
#include "worker/jobs/phases.def"
#undef PHASE
};

/* Names in the order of phases.def, static storage; NULL behind the last. */
extern const char *const phase_names[PHASE_COUNT + 1];

/* The phase of a name, -1: it is none. */
int phase_of(struct text name);

/* The phase that a job of this state is in, -1: none. */
int phase_of_state(struct text state);

/* A change of state: what phase_of_state() says of it, and when it was. */
struct phase_change {
    int phase;
    int64_t at_ms;
};

/* The phase that a job was in at a time, by its changes in their order: the last one that had
 * begun. Before the first of them it is the first, and without any `setup`. */
int phase_at(const struct phase_change *changes, size_t n, int64_t at_ms);

#endif
