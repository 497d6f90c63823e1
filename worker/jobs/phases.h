/* The phases of a job, and which one it was in at a time. */
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

/* Names in the order of phases.def, static storage; NULL at the end. */
extern const char *const phase_names[PHASE_COUNT + 1];

/* The phase of a name; -1: none. */
int phase_of(struct text name);

/* The phase of a job in this state; -1: none. */
int phase_of_state(struct text state);

/* A change of state: phase_of_state() of the new state, and its time. */
struct phase_change {
    int phase;
    int64_t at_ms;
};

/* The phase at a time, from the changes in order: that of the last change before it. Before the
 * first change: that of the first; without any: `setup`. */
int phase_at(const struct phase_change *changes, size_t n, int64_t at_ms);

#endif
