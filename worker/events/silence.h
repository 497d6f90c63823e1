/* Agents that are silent: nothing was heard of them for --agent-silent seconds. Every call of an
 * agent counts, but is noted in memory first: agents_heard_store() writes the names of many calls
 * in one step, each name at most once in a third of that time. */
#ifndef WORKER_EVENTS_SILENCE_H
#define WORKER_EVENTS_SILENCE_H

#include "worker/request/call.h"

/* Notes the agents that made these answered calls. */
void agents_heard(const struct call *calls, size_t n);

/* Stores who was heard of once the oldest note is a twelfth of --agent-silent old, and tells whose
 * silence has ended. */
void agents_heard_store(const struct config *cfg, struct store *s);

/* Marks agents that are silent for longer than --agent-silent and a third, and tells of them: a
 * noted call may be stored so much later. At most SWEEP_MAX. */
enum err silence_sweep(const struct config *cfg, struct store *s, struct sweep *sweep) MUST_CHECK;

/* Milliseconds without a note after which an agent is silent. */
int64_t silence_ms(const struct config *cfg);

#endif
