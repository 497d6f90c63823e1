/* The parameter `state` of lists of jobs. */
#ifndef WORKER_HANDLERS_SEARCH_STATES_H
#define WORKER_HANDLERS_SEARCH_STATES_H

#include "worker/request/call.h"

/* Faults of the states by position, a new reference; NULL: none. */
json_t *search_states_faults(const json_t *states);

/* What they ask for: with `active` among them, all states that are not over. */
enum search_states search_states_which(const json_t *states);

#endif
